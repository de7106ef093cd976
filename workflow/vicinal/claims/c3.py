"""C3: distillation with mixup raises the student's accuracy."""

from vicinal.claims.cells import Runs, baseline, is_primary, missing_primary
from vicinal.claims.samples import paired
from vicinal.claims.verdict import Test

TITLE = "Higher accuracy"
SENTENCE = "Distillation with mixup makes the student more accurate than training or distilling it otherwise."
BASELINES = ("ce", "ce_mixup", "kd")


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C3, and which runs it lacks."""
    found = []
    for s in runs.students():
        for method in BASELINES:
            series = [runs.metric(s, "accuracy"), runs.metric(baseline(s, method), "accuracy")]
            sample = paired(series, lambda own, theirs: own - theirs)
            estimand = f"accuracy(kd_mixup) − accuracy({method})"
            found.append(Test(runs.label(s, method), estimand, sample, primary=is_primary(s)))
    if not any(test.primary for test in found):
        return [], missing_primary(runs)
    return [test for test in found if test.primary or not test.sample.needs], ""
