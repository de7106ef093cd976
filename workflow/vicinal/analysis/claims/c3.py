"""C3: distillation with mixup raises the student's accuracy; one verdict against ce, one against kd."""

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.preconditions import better_teacher
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import Setting, baseline
from vicinal.analysis.claims.units import POINTS
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import METHOD_NAMES

TITLES = {"ce": "Higher accuracy than without a teacher", "kd": "Higher accuracy than standard distillation"}
SENTENCES = {
    "ce": "Distillation with mixup makes the student more accurate than cross-entropy training without a teacher.",
    "kd": "Distillation with mixup makes the student more accurate than standard distillation.",
}


def tests(runs: Runs, versus: str) -> tuple[list[Test], str]:
    """Return the tests of C3 against the method ``versus``, and which runs it lacks."""
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    students = list(dict.fromkeys(primary + runs.students()))
    found = [_test(runs, s, versus, primary=s in primary) for s in students]
    if versus == "ce":
        found += [_test(runs, s, "ce_mixup", primary=False) for s in students]
    return decidable(found), ""


def _test(runs: Runs, s: Setting, method: str, primary: bool) -> Test:
    series = [runs.metric(s, "accuracy"), runs.metric(baseline(s, method), "accuracy")]
    sample = paired(series, lambda own, theirs: own - theirs)
    estimand = f"accuracy(KD + mixup) − accuracy({METHOD_NAMES[method]})"
    requires = (better_teacher(runs, s),) if primary else ()
    says = "accuracy changes by {}"
    return Test(
        runs.label(s, method), estimand, sample, unit=POINTS, says=says, primary=primary, requires=requires
    )  # fmt: skip
