"""C7: a larger teacher is not simply a better one."""

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.preconditions import better_teacher
from vicinal.analysis.claims.samples import Series, paired
from vicinal.analysis.claims.settings import Setting, is_primary
from vicinal.analysis.claims.statistics import Largest, Mean, Rule
from vicinal.analysis.claims.units import POINTS
from vicinal.analysis.claims.verdict import Test

TITLE = "Bigger teachers are not simply better"
SENTENCE = "Within one family of teachers the student's accuracy does not simply grow with the teacher's capacity."

# Names whose numbers grow with capacity; the version of a MobileNet or the patch size of a ViT does not.
_SIZED = re.compile(r"(resnet\d+(x\d+)?(_.*)?|wrn_\d+_\d+|vgg\d+)", re.IGNORECASE)
_WORDS = ("tiny", "small", "base", "large")


def families(name: str) -> dict[str, int]:
    """Return the ladders that a teacher stands on and its place there: families that differ in one size only.

    ``resnet32x4`` stands on ``resnet#x4`` at 32 and on ``resnet32x#`` at 4; a name without a size stands on none.
    """
    found = {}
    if _SIZED.fullmatch(name):
        for match in re.finditer(r"\d+", name):
            found[f"{name[: match.start()]}#{name[match.end() :]}"] = int(match.group())
    for place, word in enumerate(_WORDS):
        if re.search(rf"_{word}(?![a-z])", name):
            found[name.replace(f"_{word}", "_#")] = place
    return found


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C7, and which runs it lacks.

    The null is a ladder that does not fall: μ_i ≤ μ_j for every lower rung i and higher one j. θ is the largest of
    μ_i − μ_top over the rungs i below the top (see ``Largest``: Bonferroni over them); θ > 0 contradicts the null.
    Whether it falls anywhere, over all pairs i < j, is a secondary test: the top may still be the best.
    """
    ladders: dict[Setting, dict[int, Setting]] = {}
    for s in dict.fromkeys(primary_students(runs) + runs.students("kd_mixup") + runs.students("kd")):
        for family, size in families(str(s.teacher)).items():
            ladders.setdefault(s._replace(teacher=family), {})[size] = s
    ladders = {key: ladder for key, ladder in ladders.items() if len(ladder) > 1}
    rungs = [_Ladder(runs, [ladder[size] for size in sorted(ladder)]) for ladder in ladders.values()]
    if not any(ladder.primary for ladder in rungs):
        return [], f"{missing_primary(runs)}; at least 2 teachers of one family for the same student"
    found = [ladder.largest() for ladder in rungs]
    for ladder in rungs:
        if len(ladder.rungs) > 2:
            found.append(ladder.anywhere())
            found += ladder.pairs() if ladder.primary else []
    return sorted(found, key=lambda test: not test.primary), ""


class _Ladder:
    """The students of the teachers of one family, from the lowest teacher to the top.

    A teacher that is not more accurate than the student trained alone is no rung. The others stand in the order of
    their size, or of their mean accuracy over seeds where the two orders differ.
    """

    def __init__(self, runs: Runs, by_size: list[Setting]) -> None:
        self.runs, self.primary = runs, is_primary(by_size[0])
        gates = {s: better_teacher(runs, s) for s in by_size}
        self.rungs = [s for s in by_size if not gates[s].fails]
        self.warning = ""
        if len(self.rungs) < 2:
            self.rungs, self.requires = by_size, tuple(gate for gate in gates.values() if gate.fails)
            return
        self.requires = tuple(gates[s] for s in self.rungs)
        notes = [f"no rung of the ladder: {gate.failure}" for gate in gates.values() if gate.fails]
        accuracy = {s: _mean(runs.metric(runs.teacher_of(s), "accuracy")) for s in self.rungs}
        ordered = sorted(self.rungs, key=accuracy.__getitem__)
        if ordered != self.rungs and np.isfinite(list(accuracy.values())).all():
            listed = ", ".join(f"{s.teacher} {100 * accuracy[s]:.2f} %" for s in self.rungs)
            notes.append(f"teachers in the order of their accuracy, which is not that of their size: {listed}")
            self.rungs = ordered
        self.warning = "; ".join(notes)

    def largest(self) -> Test:
        """Return the test of the top against the rungs below it."""

        def contrast(*accuracy: np.ndarray) -> np.ndarray:
            return np.stack([lower - accuracy[-1] for lower in accuracy[:-1]], axis=1)

        top = self.rungs[-1].teacher
        estimand = f"best accuracy of a student of a lower teacher − accuracy(student | {top})"
        requires = self.requires if self.primary else ()
        says = f"the best student of a lower teacher is {{}} more accurate than that of the top one, {top}"
        return self._test(
            estimand, self.rungs, contrast, Largest(), says=says, primary=self.primary, requires=requires
        )  # fmt: skip

    def anywhere(self) -> Test:
        """Return the test of the largest fall."""
        pairs = list(itertools.combinations(range(len(self.rungs)), 2))

        def contrast(*accuracy: np.ndarray) -> np.ndarray:
            return np.stack([accuracy[i] - accuracy[j] for i, j in pairs], axis=1)

        estimand = "largest fall of the student's accuracy from a lower to a higher teacher"
        return self._test(estimand, self.rungs, contrast, Largest())

    def pairs(self) -> list[Test]:
        """Return the tests of each rung against the top."""
        top, found = self.rungs[-1], []
        for lower in self.rungs[:-1]:
            estimand = f"accuracy(student | {lower.teacher}) − accuracy(student | {top.teacher})"
            found.append(self._test(estimand, [lower, top], np.subtract, Mean()))
        return found

    def _test(
        self, estimand: str, students: list[Setting], contrast: Callable[..., np.ndarray], rule: Rule, **more: Any
    ) -> Test:
        sample = paired([self.runs.metric(s, "accuracy") for s in students], contrast)
        names = " < ".join(str(s.teacher) for s in self.rungs)
        cell = self.runs.label(self.rungs[0]._replace(teacher=f"({names})"))
        return Test(cell, estimand, sample, rule, unit=POINTS, warning=self.warning, **more)


def _mean(series: Series) -> float:
    """Return the mean over seeds; NaN without values."""
    values = [value for of_seed in series.values.values() for value in of_seed]
    return float(np.mean(values)) if values else math.nan
