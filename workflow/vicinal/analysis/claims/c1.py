"""C1: on mixed inputs the teacher's signal is confusion, not inter-class structure."""

from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.samples import Sample, paired
from vicinal.analysis.claims.settings import PRIMARY_TEMPERATURE, Setting
from vicinal.analysis.claims.verdict import Test, decidable

TITLE = "Distributional confusion, not dark knowledge"
SENTENCE = (
    "On mixed inputs a teacher trained without mixup passes on its confusion about unfamiliar inputs, not the "
    "similarity of classes that it passes on for clean ones."
)
LIMIT = 0.5  # a perfectly linear teacher scores 1


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C1, and which runs it lacks."""
    students = runs.students("kd_mixup") + runs.students("kd")
    named = [runs.teacher_of(s) for s in students if s.teacher_mixup_alpha is None]  # no table may have them
    plain = list(dict.fromkeys([*(s for s in runs.teachers() if s.alpha is None), *named]))
    if not plain:
        return [], f"teachers without mixup, explained_share at T = {PRIMARY_TEMPERATURE:g} (table confusion)"
    found = [_share(runs, s, PRIMARY_TEMPERATURE, primary=True) for s in plain]
    for s in runs.teachers():
        for t in runs.confusion_temperatures(s, "explained_share"):
            if s.alpha is not None or t != PRIMARY_TEMPERATURE:
                found.append(_share(runs, s, t, primary=False))
    for s in plain:
        found += _others(runs, s)
    return found, ""


def _share(runs: Runs, s: Setting, t: float, primary: bool) -> Test:
    sample = paired([runs.confusion(s, "explained_share", t)], lambda share: LIMIT - share)
    return _test(runs, s, t, f"{LIMIT:g} − explained share", sample, primary)


def _others(runs: Runs, s: Setting) -> list[Test]:
    t = PRIMARY_TEMPERATURE
    found = []
    for name, words in (
        ("entropy_increase", "entropy on mixed − on clean inputs (nats)"),
        ("entropy_excess", "entropy on mixed inputs − of the linear mixture (nats)"),
    ):
        found.append(_test(runs, s, t, words, paired([runs.confusion(s, name, t)], lambda value: value)))
    masses = [runs.confusion(s, f"source_mass_{kind}", t) for kind in ("clean", "mixed")]
    words = "source mass of the linear mixture − on mixed inputs"
    found.append(_test(runs, s, t, words, paired(masses, lambda linear, mixed: linear - mixed)))
    return decidable(found)


def _test(runs: Runs, s: Setting, t: float, estimand: str, sample: Sample, primary: bool = False) -> Test:
    mixup = "" if s.alpha is None else f" (teacher with mixup α = {s.alpha:g})"
    cell = f"{runs.label(s._replace(alpha=None))}{mixup}, T = {t:g}"
    warning = runs.pretraining_warning(s, "mixed inputs are not new to it, as the claim supposes")
    return Test(cell, estimand, sample, primary=primary, warning=warning)
