"""The students of a grid in blocks that are worth training together, the most valuable first.

The order: (1) what the primary cells of the claims need; (2) the capacity ladder and the logit scales, of C7 and C5;
(3) the other temperatures, of C6; (4) everything else. Within each: three seeds of all blocks first, since no claim is
decided below three, then one seed after the other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from vicinal.artefacts import Artefacts
from vicinal.claims.c5 import SCALES
from vicinal.claims.c6 import MIN_TEMPERATURES
from vicinal.claims.c7 import families
from vicinal.claims.settings import Setting, arrow, baseline, in_words, is_default, primary_of, read_setting
from vicinal.tidy import STD

# Seeds below which a claim is inconclusive.
MIN_SEEDS = 3
METHODS = ("ce", "ce_mixup", "kd")

# Runs that a cell of a claim needs: any of several such lists of settings will do.
Cell = list[list[Setting]]


@dataclass(frozen=True)
class Block:
    """Students worth training together.

    Attributes:
        rank: from 1, the most valuable.
        what: in words.
        seeds: their seeds.
        students: their ids.
        needs: ids of students without which these decide nothing: the same pair's in the primary cell, and those of the
            first three seeds.
    """

    rank: int
    what: str
    seeds: tuple[int, ...]
    students: tuple[str, ...]
    needs: frozenset[str] = frozenset()


class Unit(NamedTuple):
    """Settings that belong together: rank and words of their blocks, and those in the primary cell that they need."""

    rank: int
    what: str
    settings: list[Setting]
    core: list[Setting]


class Grid:
    """The students of all experiments by setting and seed."""

    def __init__(self, artefacts: Artefacts) -> None:
        self.by_setting: dict[Setting, dict[int, str]] = defaultdict(dict)
        self._given: set[Setting] = set()  # students of a teacher that is one for all seeds
        for student in artefacts.students.values():
            setting = read_setting(student.columns)
            self.by_setting[setting][student.columns["seed"]] = student.id
            if "teacher_weights" in student.columns:
                self._given.add(setting)
        distilled = [s for s in self.by_setting if s.method in ("kd", "kd_mixup") and is_default(s)]
        self.pairs = list(dict.fromkeys(map(primary_of, distilled)))
        self._sizes = Counter(map(primary_of, distilled))

    def is_on_ladder(self, pair: Setting) -> bool:
        """Tell whether a pair is there for the capacity ladder: its student has more runs from another rung."""
        kin = [p for p in self.pairs if p._replace(teacher=None) == pair._replace(teacher=None)]
        rungs = [p for p in kin if families(str(p.teacher)).keys() & families(str(pair.teacher)).keys()]
        return pair != max(rungs, key=self._sizes.__getitem__, default=pair)

    def units(self) -> list[Unit]:
        """Return what belongs together."""
        units: list[Unit] = []
        for pair in self.pairs:
            name, kd = f"{pair.data}: {arrow(pair)}", baseline(pair, "kd")
            core = self._present([pair, *(baseline(pair, method) for method in METHODS)])
            words = f"{name}, {', '.join(s.method for s in core)} at {', '.join(in_words(pair, brief=False))}"
            units.append(Unit(2 if self.is_on_ladder(pair) else 1, words, core, []))
            scaled = [s for s in self.by_setting if s.logit_scale not in (None, 1) and _unscaled(s) in (pair, kd)]
            units.append(Unit(2, f"{name}, logit scales", scaled, core))
            others = [
                s
                for s in self.by_setting
                if s.temperature not in (None, STD, pair.temperature) and _at(s, pair.temperature) in (pair, kd)
            ]
            units.append(Unit(3, f"{name}, other temperatures", others, core))
        placed = {setting for unit in units for setting in unit.settings}
        for s in self.by_setting:
            if s not in placed:
                details = ", ".join([s.method, *in_words(s, brief=True)])
                units.append(Unit(4, f"{s.data}: {arrow(s)}, {details}", [s], []))
        return [unit for unit in units if unit.settings]

    def blocks(self) -> list[Block]:
        """Return all students in blocks, the most valuable first; baselines are in several."""
        found: list[tuple[tuple[int, int, int], Block]] = []
        for position, unit in enumerate(self.units()):
            seeds = list(dict.fromkeys(seed for s in unit.settings for seed in self.by_setting[s]))
            parts = [seeds[:MIN_SEEDS], *([seed] for seed in seeds[MIN_SEEDS:])]
            first = self._students(unit.settings, parts[0])
            for turn, part in enumerate(parts):
                needs = {*self._students(unit.core, part), *(first if turn else ())}
                students = tuple(self._students(unit.settings, part))
                block = Block(unit.rank, unit.what, tuple(part), students, frozenset(needs))
                found.append(((unit.rank, turn, position), block))
        return [block for _, block in sorted(found, key=lambda entry: entry[0])]

    def _students(self, settings: Iterable[Setting], seeds: list[int]) -> list[str]:
        return [id_ for s in settings for seed, id_ in self.by_setting[s].items() if seed in seeds]

    def _present(self, settings: Iterable[Setting]) -> list[Setting]:
        return [s for s in settings if s in self.by_setting]

    def cells(self) -> dict[str, list[Cell]]:
        """Return claim → its primary cells, of those that the grid is made for."""
        found: dict[str, list[Cell]] = {f"C{number}": [] for number in range(1, 8)}
        teachers: dict[tuple, list[Setting]] = defaultdict(list)
        ladders: dict[Setting, list[Setting]] = defaultdict(list)
        for s in self.by_setting:
            # One network has no seeds to decide C1 by.
            if s.teacher is not None and s.teacher_mixup_alpha is None and s not in self._given:
                teachers[s.data, s.teacher].append(s)
        for pair in self.pairs:
            kd, ce, ce_mixup = (baseline(pair, method) for method in ("kd", "ce", "ce_mixup"))
            found["C2"].append([[pair]])
            found["C3"].append([[pair, ce, ce_mixup, kd]])
            found["C4"].append([[pair, ce]])
            scales = [pair._replace(logit_scale=scale) for scale in SCALES]
            if len(self._present(scales)) > 1:
                found["C5"].append([scales])
            at = sorted({s.temperature for s in self.by_setting if _at(s, pair.temperature) == pair} - {STD})
            if len(at) >= MIN_TEMPERATURES:
                found["C6"].append([[s._replace(temperature=t) for t in at for s in (pair, kd)]])
            for family in families(str(pair.teacher)):
                ladders[pair._replace(teacher=family)].append(pair)
        found["C1"] = [[[s] for s in settings] for settings in teachers.values()]
        found["C7"] = [[ladder] for ladder in ladders.values() if len(ladder) > 1]
        return found

    def covered(self, chosen: set[str]) -> dict[str, tuple[int, int]]:
        """Return claim → number of its primary cells with three seeds or more among ``chosen``, and of all of them."""
        return {
            claim: (sum(self._seeds(cell, chosen) >= MIN_SEEDS for cell in cells), len(cells))
            for claim, cells in self.cells().items()
        }

    def _seeds(self, cell: Cell, chosen: set[str]) -> int:
        """Return the number of seeds for which ``chosen`` has all runs of one of the cell's lists."""

        def seeds_of(s: Setting) -> set[int]:
            return {seed for seed, id_ in self.by_setting.get(s, {}).items() if id_ in chosen}

        return len(set().union(*(set.intersection(*map(seeds_of, settings)) for settings in cell)))


def _at(s: Setting, temperature: float) -> Setting:
    return s._replace(temperature=temperature)


def _unscaled(s: Setting) -> Setting:
    return s._replace(logit_scale=1.0)
