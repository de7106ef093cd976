"""C6: temperature trades accuracy against calibration, more strongly under mixup."""

from collections.abc import Sequence

import numpy as np

from vicinal.analysis.claims.cells import Runs, lost_pairs, missing_primary
from vicinal.analysis.claims.samples import Sample, Series, paired
from vicinal.analysis.claims.settings import PRIMARY_ALPHA, Setting, baseline, is_default
from vicinal.analysis.claims.statistics import SameSign, slopes
from vicinal.analysis.claims.units import POINTS
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import METHOD_NAMES, STD

TITLE = "Temperature trades accuracy against calibration"
SENTENCE = (
    "The temperature that is best for accuracy is at the other end than the one that is best for calibration, and "
    "calibration depends on temperature more strongly with mixup than without."
)
MIN_TEMPERATURES = 3
_OPPOSITE = "smaller of the slopes of accuracy and of ECE on log2 T where they have the same sign (opposite ends)"
_NAMES = {"accuracy": "accuracy", "ece": "ECE", "confidence_gap": "the signed gap"}


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C6, and which runs it lacks."""
    grids = {s: grid for s, grid in _temperatures(runs.students()).items() if len(grid) >= MIN_TEMPERATURES}
    found = _short_grids(runs, grids)
    if not any(_is_primary(s) for s in grids) and not found:
        what = f"and at least {MIN_TEMPERATURES} numeric temperatures, and KD likewise"
        return [], missing_primary(runs, what)
    for s, grid in grids.items():
        found += _tests(runs, s, grid, _is_primary(s))
    return decidable(found), ""


def _temperatures(students: Sequence[Setting]) -> dict[Setting, list[float]]:
    """Return the numeric temperatures, sorted, of each setting that is else the same."""
    found: dict[Setting, set[float]] = {}
    for s in students:
        found.setdefault(s._replace(temperature=None), set()).update({s.temperature} - {STD})
    return {s: sorted(temperatures) for s, temperatures in found.items()}


def _short_grids(runs: Runs, grids: dict[Setting, list[float]]) -> list[Test]:
    """Return primary tests of the pairs that were not distilled at enough temperatures: they decide nothing.

    A pair of several temperatures names what is missing, so that one that lost its runs does not go unnoticed. A single
    temperature was never meant as a grid: it is only named if no pair has more, and then nothing can be tested.
    """
    own = {s: set(grid) for s, grid in _temperatures(runs.students()).items() if _is_primary(s)}
    if not own:
        return []
    both: dict[Setting, set[float]] = {s._replace(temperature=None): set() for s in lost_pairs(runs)}
    several = len(both) > 0
    for s, grid in _temperatures(runs.students() + runs.students("kd")).items():
        key = s._replace(method="kd_mixup", alpha=PRIMARY_ALPHA)
        if _is_primary(key):
            both.setdefault(key, set()).update(grid)
            several |= len(both[key]) > 1
    found = []
    for s, temperatures in both.items():
        if s in grids:
            continue
        if s in own and len(temperatures) < 2:
            if not several:
                why = f"{runs.label(s)}: distilled at fewer than two numeric temperatures"
                found.append(Test(runs.label(s), _OPPOSITE, Sample(), SameSign(), primary=True, barred=why))
            continue
        lost = sorted(temperatures - own.get(s, set()))
        wanted = f"at T = {', '.join(f'{t:g}' for t in lost)}" if lost else "at more temperatures"
        needs = f"{runs.describe(s)} {wanted} (at least {MIN_TEMPERATURES} numeric temperatures)"
        found.append(Test(runs.label(s), _OPPOSITE, Sample(needs=needs), SameSign(), primary=True))
    return found


def _is_primary(s: Setting) -> bool:
    return s.alpha == PRIMARY_ALPHA and is_default(s)


def _tests(runs: Runs, s: Setting, grid: list[float], primary: bool) -> list[Test]:
    """Return the tests over the temperatures of ``grid`` that both methods have."""
    plain = baseline(s, "kd")
    both = [t for t in grid if runs.metric(plain._replace(temperature=t), "accuracy").values]
    shared = both if len(both) >= MIN_TEMPERATURES else grid  # then the runs that kd lacks are named
    own, common = (f"{runs.label(s)}, T = {{{', '.join(f'{t:g}' for t in part)}}}" for part in (grid, shared))

    def opposite(*columns: np.ndarray) -> np.ndarray:
        return np.stack(_two_slopes(grid, columns), axis=1)

    def steeper(*columns: np.ndarray) -> np.ndarray:
        mixed, ordinary = _two_slopes(shared, columns)
        return np.stack([mixed - ordinary, mixed + ordinary], axis=1)

    series = _series(runs, s, grid, "accuracy") + _series(runs, s, grid, "ece")
    says = "with each doubling of T accuracy and ECE move the same way, by at least {}"
    found = [Test(own, _OPPOSITE, paired(series, opposite), SameSign(), unit=POINTS, says=says, primary=primary)]
    for metric, name in _NAMES.items():
        # |a| − |b| is the smaller magnitude of a − b and a + b where these have the same sign, else it is not above 0.
        # The mean over seeds of the |a| and |b| themselves would depend on their noise.
        sample = paired(_series(runs, s, shared, metric) + _series(runs, plain, shared, metric), steeper)
        estimand = f"|slope of {name} on log2 T|: KD + mixup − KD"
        says = f"each doubling of T moves {name} by {{}} more with mixup than without"
        decides = primary and metric == "confidence_gap"
        found.append(Test(f"{common}, vs KD", estimand, sample, SameSign(), unit=POINTS, says=says, primary=decides))
    for setting, temperatures, cell in ((s, grid, own), (plain, shared, common)):
        for metric, name in _NAMES.items():
            series = _series(runs, setting, temperatures, metric)
            sample = paired(series, lambda *columns, t=temperatures: _slopes(t, columns))
            estimand = f"slope of {name} on log2 T, {METHOD_NAMES[setting.method]}"
            found.append(Test(cell, estimand, sample, unit=POINTS, descriptive=True))
    return found


def _series(runs: Runs, s: Setting, grid: list[float], metric: str) -> list[Series]:
    return [runs.metric(s._replace(temperature=t), metric) for t in grid]


def _two_slopes(grid: list[float], columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the slopes (n,) of the first half of the columns and of the second, each with one a temperature."""
    return [_slopes(grid, half) for half in np.split(np.array(columns), 2)]


def _slopes(grid: list[float], columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return the slope on log2 T of each seed, from one array (n,) a temperature."""
    return slopes(np.log2(grid), np.stack(columns, axis=1))
