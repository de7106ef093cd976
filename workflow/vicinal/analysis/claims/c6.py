"""C6: temperature trades accuracy against calibration, more strongly under mixup."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vicinal.analysis.claims.cells import Runs, lost_pairs, missing_primary
from vicinal.analysis.claims.samples import Sample, Series, paired
from vicinal.analysis.claims.settings import PRIMARY_ALPHA, Setting, baseline, is_default
from vicinal.analysis.claims.statistics import SameSign, slopes
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import STD

TITLE = "Temperature trades accuracy against calibration"
SENTENCE = (
    "The temperature that is best for accuracy is at the other end than the one that is best for calibration, and "
    "calibration depends on temperature more strongly with mixup than without."
)
MIN_TEMPERATURES = 3
_SAME_SIGN = "smaller of the slopes of accuracy and of |gap| on log2 T where they have the same sign (opposite ends)"
_METRICS = {"accuracy": "accuracy", "confidence_gap": "|gap|"}


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C6, and which runs it lacks."""
    grids: dict[Setting, list[float]] = {}
    for s in runs.students():
        if s.temperature != STD:
            grids.setdefault(s._replace(temperature=None), []).append(s.temperature)
    grids = {s: sorted(grid) for s, grid in grids.items() if len(grid) >= MIN_TEMPERATURES}
    if not any(_is_primary(s) for s in grids):
        what = f"and at least {MIN_TEMPERATURES} numeric temperatures, and kd likewise"
        return [], missing_primary(runs, what)
    found = _short_grids(runs, grids)
    for s, grid in grids.items():
        found += _tests(runs, s, grid, _is_primary(s))
    return decidable(found), ""


def _short_grids(runs: Runs, grids: Mapping[Setting, list[float]]) -> list[Test]:
    """Return primary tests of the pairs that were distilled at several temperatures, but not at enough of them.

    They decide nothing and name what is missing, so that a pair that lost its runs does not go unnoticed.
    """
    own: dict[Setting, set[float]] = {}
    both: dict[Setting, set[float]] = {s._replace(temperature=None): set() for s in lost_pairs(runs)}
    for s in runs.students() + runs.students("kd"):
        key = s._replace(method="kd_mixup", alpha=PRIMARY_ALPHA, temperature=None)
        if s.temperature != STD and _is_primary(key):
            both.setdefault(key, set()).add(s.temperature)
            if s.alpha == PRIMARY_ALPHA:
                own.setdefault(key, set()).add(s.temperature)
    found = []
    for s, temperatures in both.items():
        if s not in grids and len(temperatures) != 1:  # a single temperature was never meant as a grid
            lost = sorted(temperatures - own.get(s, set()))
            wanted = f"at T = {', '.join(f'{t:g}' for t in lost)}" if lost else "at more temperatures"
            needs = f"{runs.describe(s)} {wanted} (at least {MIN_TEMPERATURES} numeric temperatures)"
            found.append(Test(runs.label(s), _SAME_SIGN, Sample(needs=needs), SameSign(), primary=True))
    return found


def _is_primary(s: Setting) -> bool:
    return s.alpha == PRIMARY_ALPHA and is_default(s)


def _tests(runs: Runs, s: Setting, grid: list[float], primary: bool) -> list[Test]:
    """Return the tests over the temperatures of ``grid`` that both methods have."""
    plain = baseline(s, "kd")
    both = [t for t in grid if runs.metric(plain._replace(temperature=t), "accuracy").values]
    shared = both if len(both) >= MIN_TEMPERATURES else grid  # then the runs that kd lacks are named
    own, common = (f"{runs.label(s)}, T = {{{', '.join(f'{t:g}' for t in part)}}}" for part in (grid, shared))

    def steeper(*columns: np.ndarray) -> np.ndarray:
        mixed, ordinary = _two_slopes(shared, columns)
        return abs(mixed) - abs(ordinary)

    series = [one for metric in _METRICS for one in _series(runs, s, grid, metric)]
    sample = paired(series, lambda *columns: np.stack(_two_slopes(grid, columns), axis=1))
    found = [Test(own, _SAME_SIGN, sample, SameSign(), primary=primary)]
    for metric, name in _METRICS.items():
        series = _series(runs, s, shared, metric) + _series(runs, plain, shared, metric)
        sample = paired(series, steeper)
        estimand = f"|slope of {name} on log2 T|: kd_mixup − kd"
        found.append(Test(f"{common}, vs kd", estimand, sample, primary=primary and metric == "confidence_gap"))
    for setting, temperatures, cell in ((s, grid, own), (plain, shared, common)):
        for metric, name in _METRICS.items():
            series = _series(runs, setting, temperatures, metric)
            sample = paired(series, lambda *columns, t=temperatures: _slopes(t, columns))
            estimand = f"slope of {name} on log2 T, {setting.method}"
            found.append(Test(cell, estimand, sample, descriptive=True))
    return found


def _series(runs: Runs, s: Setting, grid: list[float], metric: str) -> list[Series]:
    """Return a metric at every temperature; of the confidence gap its absolute value."""
    found = [runs.metric(s._replace(temperature=t), metric) for t in grid]
    if metric != "confidence_gap":
        return found
    return [
        replace(one, values={seed: [abs(value) for value in values] for seed, values in one.values.items()})
        for one in found
    ]


def _two_slopes(grid: list[float], columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the slopes (n,) of the first half of the columns and of the second, each with one a temperature."""
    return [_slopes(grid, half) for half in np.split(np.array(columns), 2)]


def _slopes(grid: list[float], columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return the slope on log2 T of each seed, from one array (n,) a temperature."""
    return slopes(np.log2(grid), np.stack(columns, axis=1))
