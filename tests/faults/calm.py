"""The run that a storm of kills is held against: what is run, and how long its phases take undisturbed."""

import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from processes import scripts
from project import Project

# The default experiment with one seed, fewer students and images, and longer trainings: each is interrupted often.
SETTINGS = (
    "name=digits",
    "seeds=[0]",
    "limit_train=60",
    "limit_test=120",
    "teachers=[resnet8]",
    "methods=[ce,kd_mixup]",
    "temperatures=[1,4]",
    "logit_scales=[0.5]",
    "grids.calibration=null",
    "pairs=100",
    "execution.device=cpu",
    "execution.checkpoint_seconds=0.1",
)
PHASES = {
    "prepare_data.py": "data",
    "train_teacher.py": "teachers",
    "distill.py": "cohorts",
    "evaluate.py": "evaluation",
    "aggregate.py": "aggregate",
    "claims.py": "claims",
    "plot.py": "figures",
    "report.py": "report",
}
LOOK_SECONDS = 0.02
RUN_SECONDS = 600.0


@dataclass
class Timing:
    """What an undisturbed run took, s: until its first job began, a job of each phase on average, and its end."""

    total: float
    start: float
    end: float
    jobs: dict[str, float]


def settings(epochs: int) -> list[str]:
    """Return the arguments of the run."""
    return [part for setting in (*SETTINGS, f"epochs={epochs}") for part in ("--set", setting)]


def start(project: Project, epochs: int, log: Path) -> subprocess.Popen:
    """Start what ./reproduce starts, in a session of its own."""
    with log.open("a") as file:
        return project.start(*settings(epochs), warm=False, start_new_session=True, stdout=file, stderr=file)


def undisturbed(project: Project, epochs: int, log: Path) -> Timing:
    """Run to the end without a kill; return how long things took."""
    began = time.monotonic()
    run = start(project, epochs, log)
    seen: dict[str, float] = Counter()
    jobs: dict[str, int] = Counter()
    first = last = None
    before: Counter = Counter()
    while run.poll() is None:
        check_time(began, log)
        now = Counter(PHASES[name] for name in scripts(run.pid))
        for phase, number in now.items():
            seen[phase] += number * LOOK_SECONDS
            jobs[phase] += max(0, number - before[phase])
        if now:
            last = time.monotonic()
            first = first or last
        before = now
        time.sleep(LOOK_SECONDS)
    if run.returncode:
        raise RuntimeError(f"the undisturbed run failed: {log.read_text()[-2000:]}")
    ended = time.monotonic()
    return Timing(ended - began, first - began, ended - last, {phase: seen[phase] / jobs[phase] for phase in seen})


def check_time(began: float, log: Path) -> None:
    """Raise an error if a run takes far too long."""
    if time.monotonic() - began > RUN_SECONDS:
        raise RuntimeError(f"no end after {RUN_SECONDS:.0f} s: {log.read_text()[-2000:]}")
