"""C4: distillation with mixup cuts overconfidence by an order of magnitude; one verdict against ce, one against kd."""

import math
from functools import lru_cache

import numpy as np

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import Series, paired
from vicinal.analysis.claims.settings import Setting, baseline, is_primary
from vicinal.analysis.claims.units import FOLD, POINTS
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import METHOD_NAMES, STD
from vicinal.words import number

TITLES = {
    "ce": "An order of magnitude less overconfidence than without a teacher",
    "kd": "An order of magnitude less overconfidence than standard distillation",
}
SENTENCES = {
    "ce": "Distillation with mixup cuts the student's overconfidence error by an order of magnitude, compared with "
    "cross-entropy training without a teacher.",
    "kd": "Distillation with mixup cuts the student's overconfidence error by an order of magnitude, compared with "
    "standard distillation.",
}
RATIO = math.sqrt(10)  # nearer to one order of magnitude than to none
THRESHOLD = math.log(RATIO)
FLOOR_DRAWS, FLOOR_QUANTILE = 1000, 0.975


def tests(runs: Runs, versus: str) -> tuple[list[Test], str]:
    """Return the tests of C4 against the method ``versus``, and which runs it lacks."""
    students = [s for s in runs.students() if s.temperature != STD]
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    found = [_test(runs, s, versus, THRESHOLD, primary=True) for s in primary]
    found += [_test(runs, s, versus, 2 * THRESHOLD) for s in primary]
    found += [_test(runs, s, versus, THRESHOLD) for s in students if not is_primary(s)]
    if versus == "ce":
        found += [_test(runs, s, "ce_mixup", THRESHOLD) for s in students]
    return decidable(found), ""


def _test(runs: Runs, s: Setting, method: str, threshold: float, primary: bool = False) -> Test:
    other = baseline(s, method)
    sample = paired([runs.metric(other, "oe"), _with_floor(runs, s)], lambda theirs, own: np.log(theirs / own))
    cell = runs.label(s, method)
    warning = "" if sample.needs or not sample.seeds else _under_confident(runs, s, other, sample.seeds, cell)
    return Test(
        cell, f"OE({METHOD_NAMES[method]}) / OE(KD + mixup)", sample, threshold=threshold, unit=FOLD,
        says=f"the overconfidence of {METHOD_NAMES[method]} is {{}} that of KD + mixup",
        scale="√10, half an order of magnitude on the log scale", primary=primary, warning=warning,
        requires=(_above_floor(runs, other),) if primary else (),
    )  # fmt: skip


def _with_floor(runs: Runs, s: Setting) -> Series:
    """Return max(OE, floor) of a run by seed: below the floor OE is noise, and 0 would make any ratio infinite."""
    floors, oe = _floors(runs, s), runs.metric(s, "oe")
    if oe.values and not floors.values:
        return floors
    values = {}
    for seed, found in oe.values.items():
        if seed in floors.values:
            values[seed] = [float(np.maximum(value, floors.values[seed][0])) for value in found]
        elif len(found) > 1:  # its bins are there twice too; it must not pass for a seed without them
            values[seed] = found
    return Series(oe.name, values, oe.note)


def _floors(runs: Runs, s: Setting) -> Series:
    """Return the OE that a perfectly calibrated model of the same confidences stays below in 97.5 %, by seed."""
    floors = {}
    for seed in runs.metric(s, "oe").values:
        bins = runs.bins(s, seed)
        if bins is not None:
            count, confidence = bins
            floors[seed] = [overconfidence_floor(tuple(count.tolist()), tuple(confidence.tolist()))]
    return Series(f"reliability bins of {runs.describe(s)} (table reliability)", floors)


def _above_floor(runs: Runs, other: Setting) -> Test:
    """Return the test that the baseline's OE is so far above its floor that a student can cut it by √10."""
    series = [runs.metric(other, "oe"), _floors(runs, other)]
    sample = paired(series, lambda oe, floor: oe - RATIO * floor)
    name = METHOD_NAMES[other.method]
    why = f"{name} is so little overconfident that no student could cut its OE by √10 and show it"
    return Test(runs.label(other), f"OE({name}) − √10 × floor", sample, unit=POINTS, otherwise=why)


@lru_cache(maxsize=4096)
def overconfidence_floor(count: tuple[int, ...], confidence: tuple[float, ...]) -> float:
    """Return the 97.5 % quantile of OE of a perfectly calibrated model, with these counts and mean confidences of bins.

    The number of correct answers of a bin is drawn as Binomial(count, mean confidence), that is every image of a bin
    is taken to have the bin's mean confidence; the true spread is the same or a little smaller. Seeded.
    """
    n, conf = np.array(count, dtype=np.int64), np.clip(np.array(confidence, dtype=np.float64), 0.0, 1.0)
    accuracy = np.random.Generator(np.random.Philox(0)).binomial(n, conf, (FLOOR_DRAWS, len(n))) / n
    oe = (n / n.sum() * conf * np.maximum(conf - accuracy, 0.0)).sum(axis=1)
    return float(np.quantile(oe, FLOOR_QUANTILE))


def _under_confident(runs: Runs, s: Setting, other: Setting, seeds: list[int], cell: str) -> str:
    """Return the warning, with the pair that it is about: any under-confident model has a low OE."""

    def mean(setting: Setting, name: str) -> float:
        values = runs.metric(setting, name).values
        return float(np.mean([values[seed][0] if seed in values else math.nan for seed in seeds]))

    parts = []
    gap, own, theirs = mean(s, "confidence_gap"), mean(s, "ece"), mean(other, "ece")
    if math.isnan(gap):
        parts.append("the confidence gap of KD + mixup is not known at every seed, so it may be under-confident")
    elif gap < 0:
        parts.append(
            f"KD + mixup is under-confident (mean confidence − accuracy = {POINTS.show(gap)}), which alone lowers OE"
        )
    if math.isnan(own) or math.isnan(theirs):
        parts.append("ECE is not known at every seed, so it may not be lower")
    elif own >= theirs:
        parts.append(
            f"ECE is not lower ({number(100 * own)} % against {number(100 * theirs)} % of {METHOD_NAMES[other.method]})"
        )
    return "; ".join(f"{cell}: {part}" for part in parts)
