"""C3: distillation with mixup raises the student's accuracy."""

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import baseline
from vicinal.analysis.claims.verdict import Test, decidable

TITLE = "Higher accuracy"
SENTENCE = "Distillation with mixup makes the student more accurate than training or distilling it otherwise."
BASELINES = ("ce", "ce_mixup", "kd")


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C3, and which runs it lacks."""
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    found = []
    for s in dict.fromkeys(primary + runs.students()):
        for method in BASELINES:
            series = [runs.metric(s, "accuracy"), runs.metric(baseline(s, method), "accuracy")]
            sample = paired(series, lambda own, theirs: own - theirs)
            estimand = f"accuracy(kd_mixup) − accuracy({method})"
            found.append(Test(runs.label(s, method), estimand, sample, primary=s in primary))
    return decidable(found), ""
