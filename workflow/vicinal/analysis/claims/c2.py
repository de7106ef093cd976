"""C2: the student becomes more linear between inputs than its teacher."""

from vicinal.analysis.claims.cells import Runs, missing_primary, primary_students
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import Setting, baseline, is_primary
from vicinal.analysis.claims.verdict import Test, decidable

TITLE = "More linear than the teacher"
SENTENCE = "A student distilled with mixup is more linear between inputs than the teacher it learned from."
_MATCHED = "nonlinearity_matched"


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C2, and which runs it lacks."""
    students = runs.students()
    primary = primary_students(runs)
    if not primary:
        return [], missing_primary(runs)
    metrics = ("nonlinearity", _MATCHED)
    found = [_test(runs, s, name, primary=True) for s in primary for name in metrics]
    for s in primary:
        for split, pairs in (("train", "all"), ("test", "different")):
            found += [_test(runs, s, name, split=split, pairs=pairs) for name in metrics]
    found += [_test(runs, s, name) for s in students if not is_primary(s) for name in metrics]
    for s in students:  # controls; a ce_mixup student has no teacher whose entropy it could be matched to
        for method, name in (("kd", "nonlinearity"), ("kd", _MATCHED), ("ce_mixup", "nonlinearity")):
            found.append(_test(runs, s, name, versus=method))
    return decidable(found), ""


def _test(
    runs: Runs, s: Setting, name: str, versus: str = "teacher", split: str = "test", pairs: str = "all",
    primary: bool = False,
) -> Test:  # fmt: skip
    other = runs.teacher_of(s) if versus == "teacher" else baseline(s, versus)
    series = [runs.vicinal(setting, name, split, pairs) for setting in (other, s)]
    sample = paired(series, lambda theirs, own: theirs - own)
    where = ", ".join((["train pairs"] if split == "train" else []) + (["λ ≈ 1/2"] if pairs == "different" else []))
    estimand = f"L_NL({versus}) − L_NL(student), nats{', temperature-matched' if name == _MATCHED else ''}"
    cell = runs.label(s, versus) + (f", {where}" if where else "")
    return Test(cell, estimand, sample, primary=primary, warning=_pretrained(runs, s))


def _pretrained(runs: Runs, s: Setting) -> str:
    """Return the warning: training with mixup makes any network more linear, so a pretrained one starts ahead."""
    teacher = runs.pretraining_warning(runs.teacher_of(s), "it was itself made linear between inputs")
    student = runs.pretraining_warning(s, "its linearity need not come from distillation")
    return "; ".join(filter(None, (teacher, student)))
