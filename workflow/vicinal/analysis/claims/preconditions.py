"""What must hold for an experiment to be able to test a claim about distillation."""

from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.samples import paired
from vicinal.analysis.claims.settings import Setting, baseline
from vicinal.analysis.claims.units import POINTS
from vicinal.analysis.claims.verdict import Test


def better_teacher(runs: Runs, s: Setting) -> Test:
    """Return the test that a student's teacher is more accurate than the same student trained alone, by seed."""
    series = [runs.metric(setting, "accuracy") for setting in (runs.teacher_of(s), baseline(s, "ce"))]
    sample = paired(series, lambda theirs, alone: theirs - alone)
    cell = runs.label(s._replace(alpha=None, temperature=None, logit_scale=None))
    why = "the teacher is not more accurate than the student trained alone"
    return Test(cell, "accuracy(teacher) − accuracy(CE)", sample, unit=POINTS, otherwise=why)
