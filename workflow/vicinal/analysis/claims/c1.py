"""C1: on mixed inputs the teacher's signal is confusion, not inter-class structure."""

import numpy as np

from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.samples import Sample, paired
from vicinal.analysis.claims.settings import PRIMARY_TEMPERATURE, Setting
from vicinal.analysis.claims.units import NATS, PLAIN, POINTS, Unit
from vicinal.analysis.claims.verdict import Test, decidable

TITLE = "Distributional confusion, not dark knowledge"
SENTENCE = (
    "On mixed inputs a teacher trained without mixup passes on its confusion about unfamiliar inputs, not the "
    "similarity of classes that it passes on for clean ones."
)
LIMIT, PERCENT = (
    0.5,
    "50 %",
)  # of the explained share and of the correlation; a perfectly linear teacher scores 1 in both
REFERENCES = {"explained_share": "probabilities", "explained_share_logits": "logits"}


def tests(runs: Runs) -> tuple[list[Test], str]:
    """Return the tests of C1, and which runs it lacks."""
    students = runs.students("kd_mixup") + runs.students("kd")
    named = [runs.teacher_of(s) for s in students if s.teacher_mixup_alpha is None]  # no table may have them
    plain = list(dict.fromkeys([*(s for s in runs.teachers() if s.alpha is None), *named]))
    if not plain:
        return [], f"teachers without mixup, explained_share at T = {PRIMARY_TEMPERATURE:g} (table confusion)"
    primary = {s: _share(runs, s, PRIMARY_TEMPERATURE, primary=True) for s in plain}
    found = list(primary.values())
    for s in dict.fromkeys(plain + runs.teachers()):
        others = {
            f"at T = {t:g} the explained share": _share(runs, s, t, primary=False)
            for t in runs.confusion_temperatures(s, "explained_share")
            if s.alpha is not None or t != PRIMARY_TEMPERATURE
        }
        if s in primary:
            others["the Spearman correlation of the class-similarity matrices"] = _similarity(runs, s)
            _warn(primary[s], others)
        found += others.values()
    for s in plain:
        found += _parts(runs, s)
    return decidable(found), ""


def _share(runs: Runs, s: Setting, t: float, primary: bool) -> Test:
    """Return the test of the share that the better of the two linear references explains, seed by seed."""
    shares = [runs.confusion(s, name, t) for name in REFERENCES]
    sample = paired(shares, lambda *both: LIMIT - np.maximum(*both))
    says = f"the better linear mixture explains {{}} less than {PERCENT} of the teacher's answers on mixed inputs"
    return _test(runs, s, t, f"{PERCENT} − explained share", sample, POINTS, primary, says)


def _similarity(runs: Runs, s: Setting) -> Test:
    correlation = [runs.confusion(s, "spearman_mixed_linear", PRIMARY_TEMPERATURE)]
    words = f"{LIMIT:g} − Spearman correlation of the class similarities of mixed inputs and of the linear mixture"
    return _test(runs, s, PRIMARY_TEMPERATURE, words, paired(correlation, lambda value: LIMIT - value))


def _warn(primary: Test, others: dict[str, Test]) -> None:
    """Add to a primary test which other tests say, by their intervals, the opposite of what it says."""
    opposite = [name for name, test in others.items() if primary.side * test.side < 0]
    say = f"{primary.cell}: {', '.join(opposite)} {'say' if len(opposite) > 1 else 'says'} the opposite"
    primary.warning = "; ".join(filter(None, (primary.warning, say if opposite else "")))


def _parts(runs: Runs, s: Setting) -> list[Test]:
    t = PRIMARY_TEMPERATURE
    found = []
    for name, of in REFERENCES.items():
        sample = paired([runs.confusion(s, name, t)], lambda share: LIMIT - share)
        found.append(_test(runs, s, t, f"{PERCENT} − share explained by the linear mixture of {of}", sample, POINTS))
    for name, words in (
        ("entropy_increase", "entropy on mixed − on clean inputs"),
        ("entropy_excess", "entropy on mixed inputs − of the linear mixture"),
    ):
        found.append(_test(runs, s, t, words, paired([runs.confusion(s, name, t)], lambda value: value), NATS))
    masses = [runs.confusion(s, f"source_mass_{kind}", t) for kind in ("clean", "mixed")]
    words = "source mass of the linear mixture − on mixed inputs"
    found.append(_test(runs, s, t, words, paired(masses, lambda linear, mixed: linear - mixed)))
    return found


def _test(
    runs: Runs, s: Setting, t: float, estimand: str, sample: Sample, unit: Unit = PLAIN, primary: bool = False,
    says: str = "",
) -> Test:  # fmt: skip
    mixup = "" if s.alpha is None else f" (teacher with mixup α = {s.alpha:g})"
    cell = f"{runs.label(s._replace(alpha=None))}{mixup}, T = {t:g}"
    warning = runs.pretraining_warning(s, "mixed inputs are not new to it, as the claim supposes")
    return Test(cell, estimand, sample, unit=unit, says=says, primary=primary, warning=warning)
