"""C4: distillation with mixup cuts overconfidence by an order of magnitude."""

import math
from functools import lru_cache

import numpy as np

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import Sample, paired
from vicinal.analysis.claims.settings import Setting, baseline, is_primary
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import STD

TITLE = "An order of magnitude less overconfidence"
SENTENCE = "Distillation with mixup cuts the overconfidence error of the student by an order of magnitude."
BASELINE, OTHERS = "ce", ("ce_mixup", "kd")
THRESHOLD = math.log(10) / 2  # ln √10: nearer to one order of magnitude than to none
FLOOR_DRAWS, FLOOR_QUANTILE = 1000, 0.975


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C4, and which runs it lacks."""
    students = [s for s in runs.students() if s.temperature != STD]
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    found = [_test(runs, s, BASELINE, THRESHOLD, primary=True) for s in primary]
    found += [_test(runs, s, BASELINE, 2 * THRESHOLD) for s in primary]
    found += [_test(runs, s, BASELINE, THRESHOLD) for s in students if not is_primary(s)]
    found += [_test(runs, s, method, THRESHOLD) for s in students for method in OTHERS]
    return decidable(found), ""


def _test(runs: Runs, s: Setting, method: str, threshold: float, primary: bool = False) -> Test:
    other = baseline(s, method)
    pair = [runs.metric(other, "oe"), runs.metric(s, "oe")]
    sample = paired(pair, lambda theirs, own: np.log(theirs / own))
    undecided = ""
    if sample.seeds and not sample.needs:
        own = {seed: pair[1].values[seed][0] for seed in sample.seeds}
        undecided, needs = _at_floor(runs, s, own)
        if needs:
            sample = Sample(needs=needs)
        elif undecided and sample.problem.startswith("the estimand"):
            sample = Sample(sample.seeds, note=sample.note)  # ln of an OE of 0: the floor says it all
    estimand = f"ln(OE({method}) / OE(kd_mixup))"
    warning = "" if sample.needs or not sample.seeds else _under_confident(runs, s, other, sample.seeds)
    return Test(runs.label(s, method), estimand, sample, threshold=threshold, primary=primary, undecided=undecided,
                warning=warning)  # fmt: skip


def _at_floor(runs: Runs, s: Setting, own: dict[int, float]) -> tuple[str, str]:
    """Return why the ratio is not resolved, and which table is missing; both empty where all is well."""
    for seed, oe in own.items():
        bins = runs.bins(s, seed)
        if bins is None:
            return "", f"reliability bins of {runs.describe(s)}, seed {seed} (table reliability)"
        count, confidence = bins
        floor = overconfidence_floor(tuple(count.tolist()), tuple(confidence.tolist()))
        if not oe > floor:  # NaN is reported as such
            return (
                f"at the floor: OE of kd_mixup is {oe:.3g} at seed {seed}, and a perfectly calibrated model reaches "
                f"{floor:.3g} on {int(count.sum()):,} images"
            ), ""
    return "", ""


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


def _under_confident(runs: Runs, s: Setting, other: Setting, seeds: list[int]) -> str:
    """Return the warning: any under-confident model has a low OE."""

    def mean(setting: Setting, name: str) -> float:
        values = runs.metric(setting, name).values
        return float(np.mean([values[seed][0] if seed in values else math.nan for seed in seeds]))

    parts = []
    gap, own, theirs = mean(s, "confidence_gap"), mean(s, "ece"), mean(other, "ece")
    if math.isnan(gap):
        parts.append("the confidence gap of kd_mixup is not known at every seed, so it may be under-confident")
    elif gap < 0:
        parts.append(f"kd_mixup is under-confident (mean confidence − accuracy = {gap:.3g}), which alone lowers OE")
    if math.isnan(own) or math.isnan(theirs):
        parts.append("ECE is not known at every seed, so it may not be lower")
    elif own >= theirs:
        parts.append(f"ECE is not lower ({own:.3g} against {theirs:.3g} of {other.method})")
    return "; ".join(parts)
