"""C2: the student becomes more linear between inputs than its teacher, and than its teacher's answers make it."""

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import Setting, baseline, is_primary
from vicinal.analysis.claims.units import NATS
from vicinal.analysis.claims.verdict import Test, decidable
from vicinal.analysis.schema import METHOD_NAMES

TITLE = "More linear than the teacher"
SENTENCE = (
    "A student distilled with mixup is more linear between inputs than the teacher it learned from, by more than the "
    "imitation of its teacher's answers on mixed inputs."
)
_MATCHED = "nonlinearity_matched"


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C2, and which runs it lacks."""
    students = runs.students()
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    metrics = ("nonlinearity", _MATCHED)
    found = []
    for s in primary:
        found += [_test(runs, s, name, primary=True) for name in metrics]
        found.append(_imitation(runs, s, primary=True))
    for s in primary:
        for split, pairs in (("train", "all"), ("test", "different")):
            found += [_test(runs, s, name, split=split, pairs=pairs) for name in metrics]
    for s in students:
        if not is_primary(s):
            found += [_test(runs, s, name) for name in metrics]
            found.append(_imitation(runs, s))
    controls = (("kd", "nonlinearity"), ("kd", _MATCHED), ("ce_mixup", "nonlinearity"), ("ce", "nonlinearity"))
    for s in students:
        found += [_test(runs, s, name, versus=method) for method, name in controls]
    return decidable(found), ""


def _test(
    runs: Runs, s: Setting, name: str, versus: str = "teacher", split: str = "test", pairs: str = "all",
    primary: bool = False,
) -> Test:  # fmt: skip
    other = runs.teacher_of(s) if versus == "teacher" else baseline(s, versus)
    series = [runs.vicinal(setting, name, split, pairs) for setting in (other, s)]
    sample = paired(series, lambda theirs, own: theirs - own)
    where = ", ".join((["train pairs"] if split == "train" else []) + (["λ ≈ 1/2"] if pairs == "different" else []))
    other_name, matched = METHOD_NAMES.get(versus, versus), ", temperature-matched" if name == _MATCHED else ""
    estimand = f"L_NL({other_name}) − L_NL(student){matched}"
    whose = "the teacher" if versus == "teacher" else other_name
    says = f"the non-linearity of {whose} minus that of the student is {{}}{matched}"
    cell = runs.label(s, versus) + (f", {where}" if where else "")
    return Test(cell, estimand, sample, unit=NATS, says=says, primary=primary, warning=_pretrained(runs, s))


def _imitation(runs: Runs, s: Setting, primary: bool = False) -> Test:
    """Return the test that mixup moves the student from its teacher's answers towards its own linear mixture."""
    series = [runs.vicinal(setting, "imitation_weight") for setting in (s, baseline(s, "kd"))]
    sample = paired(series, lambda own, theirs: own - theirs)
    estimand = "imitation weight α(KD + mixup) − α(KD)"
    says = "mixup changes the weight of the student's own linear mixture in its answers by {}"
    return Test(runs.label(s, "kd"), estimand, sample, says=says, primary=primary, warning=_pretrained(runs, s))


def _pretrained(runs: Runs, s: Setting) -> str:
    """Return the warning: training with mixup makes any network more linear, so a pretrained one starts ahead."""
    teacher = runs.pretraining_warning(runs.teacher_of(s), "it was itself made linear between inputs")
    student = runs.pretraining_warning(s, "its linearity need not come from distillation")
    return "; ".join(filter(None, (teacher, student)))
