"""C5: calibration passes from the teacher to the student, whatever the accuracy."""

import numpy as np

from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.preconditions import better_teacher
from vicinal.analysis.claims.samples import Series, paired
from vicinal.analysis.claims.settings import PRIMARY_ALPHA, PRIMARY_TEMPERATURE, Setting, is_primary
from vicinal.analysis.claims.statistics import Within, partial_correlation, slopes
from vicinal.analysis.claims.units import POINTS
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import STD

TITLE = "Calibration is inherited"
SENTENCE = (
    "A student inherits the calibration of its teacher independently of accuracy: teachers with the same answers and "
    "scaled logits give students of another calibration and the same accuracy."
)
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
FEWEST = 3
MARGIN = 0.01  # of accuracy: 1 point


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C5, and which runs it lacks."""
    groups: dict[Setting, set[float]] = {}
    for s in runs.students("kd_mixup") + runs.students("kd"):
        if s.temperature != STD:
            groups.setdefault(s._replace(logit_scale=1.0), set()).add(s.logit_scale)
    groups = {s: scales for s, scales in groups.items() if scales - {1.0}}
    primary = [s for s in groups if is_primary(s)]
    if not primary:
        scales = ", ".join(f"{c:g}" for c in SCALES)
        return [], (
            f"KD + mixup at α = {PRIMARY_ALPHA:g}, T = {PRIMARY_TEMPERATURE:g} with logit scales {scales}, "
            "kd_weight 1, ce_weight 0, teachers without mixup"
        )
    found = []
    # Those that were run; where these are too few, all: what is missing is then named.
    there = {s: tuple(c for c in SCALES if c in scales) for s, scales in groups.items()}
    tested = {s: scales if len(scales) >= FEWEST and 1.0 in scales else SCALES for s, scales in there.items()}
    for s in primary:
        found.append(_slope(runs, s, tested[s], primary=True))
        found += [_accuracy(runs, s, c, primary=True) for c in tested[s] if c != 1]
    for s in primary:
        found.append(_partial(runs, s, tested[s]))
    for s, scales in there.items():
        if not is_primary(s) and len(scales) >= FEWEST:
            found.append(_slope(runs, s, scales, primary=False))
            found += [_accuracy(runs, s, c, primary=False) for c in scales if c != 1]
    return decidable(found), ""


def _gaps(runs: Runs, s: Setting, scales: tuple[float, ...]) -> list[Series]:
    """Return the confidence gaps of the teacher with its logits scaled, then those of the students."""
    teacher = runs.teacher_of(s)
    theirs = [runs.metric(teacher, "confidence_gap" if c == 1 else f"confidence_gap_c{c:g}") for c in scales]
    return theirs + [runs.metric(s._replace(logit_scale=c), "confidence_gap") for c in scales]


def _slope(runs: Runs, s: Setting, scales: tuple[float, ...], primary: bool) -> Test:
    def contrast(*gaps: np.ndarray) -> np.ndarray:
        x, y = np.stack(gaps[: len(scales)], axis=1), np.stack(gaps[len(scales) :], axis=1)
        return slopes(x, y)

    estimand = "slope of the student's confidence gap on the teacher's"
    sample = paired(_gaps(runs, s, scales), contrast)
    says = "each point of the teacher's confidence gap adds {} points to the student's"
    return Test(runs.label(s), estimand, sample, says=says, primary=primary, requires=_required(runs, s, primary))


def _accuracy(runs: Runs, s: Setting, scale: float, primary: bool) -> Test:
    series = [runs.metric(s._replace(logit_scale=c), "accuracy") for c in (scale, 1.0)]
    estimand = f"1 point − |accuracy(logit scale {scale:g}) − accuracy(logit scale 1)|"
    says = f"a logit scale of {scale:g} leaves {{}} of the margin of ±1 point in accuracy"
    sample = paired(series, lambda scaled, plain: scaled - plain)
    requires = _required(runs, s, primary)
    return Test(
        runs.label(s), estimand, sample, Within(MARGIN), unit=POINTS, says=says, primary=primary, requires=requires
    )  # fmt: skip


def _required(runs: Runs, s: Setting, primary: bool) -> tuple[Test, ...]:
    return (better_teacher(runs, s),) if primary else ()


def _partial(runs: Runs, s: Setting, scales: tuple[float, ...]) -> Test:
    def contrast(*columns: np.ndarray) -> np.ndarray:
        x, y, z = (np.stack(part, axis=1) for part in np.split(np.array(columns), 3))
        return partial_correlation(x, y, z)

    accuracies = [runs.metric(s._replace(logit_scale=c), "accuracy") for c in scales]
    sample = paired([*_gaps(runs, s, scales), *accuracies], contrast)
    return Test(
        runs.label(s),
        "partial correlation of the student's and the teacher's gap given the student's accuracy",
        sample,
        descriptive=True,
        warning="sensitivity only: the student's accuracy is itself an outcome",
    )
