"""A storm of kills: a run is killed again and again, at random moments of all its phases, and started again each time.

    python tests/faults/storm.py --kills 100 --signal KILL --seed 0

An undisturbed run comes first; what the disturbed one leaves in the end must be equal to it, byte for byte.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from calm import LOOK_SECONDS, PHASES, Timing, check_time, start, undisturbed
from comparison import differences
from processes import Writes, scripts, session, temporary_files
from project import Project, make_project

START, BETWEEN, END = "start-up", "between jobs", "shut-down"
# How many of 15 kills are meant for each phase.
SHARES = {START: 1, "data": 1, "teachers": 1, "cohorts": 4, "evaluation": 2, "aggregate": 1, "claims": 1, "figures": 2}
SHARES |= {"report": 1, END: 1}
WRITING_SHARE = 0.6
# A run that was told to stop must have ended by then.
PATIENCE_SECONDS = 60.0


@dataclass
class Kill:
    """One kill: the phase it was meant for, the phases it hit, what was being written, and what came of it."""

    target: str
    hit: tuple[str, ...]
    writing: list[str]
    seconds: float
    status: int | None = None
    took: float = 0.0
    said: str = ""
    left: list[str] = field(default_factory=list)


def schedule(kills: int) -> Counter:
    """Return how many kills are meant for each phase, at least one for each where there are enough."""
    shares, counts = sum(SHARES.values()), Counter()
    for phase, share in SHARES.items():
        counts[phase] = max(1, kills * share // shares)
    for phase in ["cohorts", "teachers", "figures", "evaluation", *SHARES] * kills:
        if counts.total() >= kills:
            break
        counts[phase] += 1
    for phase in ["claims", "aggregate", END, "report", "data", START, "evaluation", "figures", "teachers", "cohorts"]:
        counts[phase] -= min(counts[phase], max(0, counts.total() - kills))
    return counts


def pass_on(left: Counter) -> None:
    """Leave to the figures the kills that were meant for phases that are over once the tables are collected."""
    for phase in ("data", "teachers", "cohorts", "evaluation"):
        left["figures"] += left.pop(phase, 0)


class Storm:
    """Kills a run of a project again and again.

    Args:
        project: where to run; nothing has run there yet, or a part.
        epochs: of each training.
        timing: of an undisturbed run.
        signals: sent in turn, to the whole process group.
        random: draws the moments.
        log: gets the output of all runs.
    """

    def __init__(
        self, project: Project, epochs: int, timing: Timing, signals: list[signal.Signals], seed: int, log: Path
    ) -> None:
        self.project, self.epochs, self.timing, self.signals, self.log = project, epochs, timing, signals, log
        self.random = random.Random(seed)
        self.kills: list[Kill] = []
        self._before: set[str] = set()

    def rage(self, number: int, say=lambda line: None) -> None:
        """Make all kills, then let the run come to its end.

        Raises:
            RuntimeError: a run failed that was not killed, or did not stop when it was told to.
        """
        left = schedule(number)
        while left.total():
            kill = self._run_until_killed(left)
            if kill is None:
                # What is left strikes runs that have nothing to do, from their start on.
                left = Counter({START: left.total()})
                continue
            self.kills.append(kill)
            left[kill.target] -= 1
            say(self._line(kill))
        began = time.monotonic()
        run = start(self.project, self.epochs, self.log)
        while run.poll() is None:
            check_time(began, self.log)
            time.sleep(LOOK_SECONDS)
        if run.returncode:
            raise RuntimeError(f"the run after the last kill failed: {self.log.read_text()[-3000:]}")
        say(f"the run after the last kill came to its end in {time.monotonic() - began:.0f} s")

    def _run_until_killed(self, left: Counter) -> Kill | None:
        """Start a run and kill it; return None where it came to its end before."""
        began = time.monotonic()
        self.project.results.mkdir(exist_ok=True)
        size = self.log.stat().st_size if self.log.exists() else 0
        self._before = set(temporary_files(self.project.results))
        with Writes(self.project.results) as writes:
            run = start(self.project, self.epochs, self.log)
            target, moment = self._aim(run, left)
            self._wait(run, writes, moment, writing=target in PHASES.values() and self.random.random() < WRITING_SHARE)
        return self._strike(run, target, began, size)

    def _aim(self, run: subprocess.Popen, left: Counter) -> tuple[str, float]:
        """Wait until a phase is at work for which kills are left; return it and the time of the kill."""
        began = time.monotonic()
        if left[START] and (self.random.random() < 0.2 or left.total() == left[START]):
            return START, began + self.random.uniform(0, self.timing.start)
        idle = began
        while run.poll() is None:
            check_time(began, self.log)
            phases = [PHASES[name] for name in scripts(run.pid)]
            wanted = [phase for phase in phases if left[phase]]
            if "aggregate" in phases:
                pass_on(left)
            if wanted:
                phase = self.random.choice(wanted)
                return phase, time.monotonic() + self.random.uniform(0, 0.9 * self.timing.jobs[phase])
            idle = time.monotonic() if phases else idle
            ending = (self.project.results / "digits/report.html.key").exists()
            if ending and not phases and left[END]:
                return END, time.monotonic() + self.random.uniform(0, self.timing.end)
            time.sleep(LOOK_SECONDS)
        return "", began  # it came to its end before

    def _wait(self, run: subprocess.Popen, writes: Writes, moment: float, writing: bool) -> None:
        """Wait for the moment; if ``writing``, at most until one of the next temporary files is made."""
        count = self.random.randint(1, 3)
        writes.wait(0)
        while run.poll() is None and (left := moment - time.monotonic()) > 0:
            if writing:
                count -= writes.wait(min(left, LOOK_SECONDS))
                if count <= 0:
                    return
            else:
                time.sleep(min(left, LOOK_SECONDS))

    def _strike(self, run: subprocess.Popen, target: str, began: float, size: int) -> Kill | None:
        number = self.signals[len(self.kills) % len(self.signals)]
        if run.poll() is not None:
            if run.returncode:
                raise RuntimeError(f"a run failed that was not killed: {self.log.read_text()[-3000:]}")
            return None
        if number is signal.SIGKILL:
            os.killpg(run.pid, signal.SIGSTOP)  # to see what is struck
        names = scripts(run.pid)
        writing = self._new_temporary_files()
        idle = target if target in (START, END) else BETWEEN
        kill = Kill(target, tuple(PHASES[name] for name in names) or (idle,), writing, time.monotonic() - began)
        sent = time.monotonic()
        # SIGTERM comes from a terminal or a batch system to the whole group, or by hand to the head alone.
        alone = number is signal.SIGTERM and self.random.random() < 0.5
        (os.kill if alone else os.killpg)(run.pid, number)
        try:
            kill.status = run.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            raise RuntimeError(f"{number.name} in {kill.hit}: no end after {PATIENCE_SECONDS:.0f} s") from None
        kill.took = time.monotonic() - sent
        while orphans := session(run.pid):
            # Killed ones are gone within milliseconds.
            if time.monotonic() - began > kill.seconds + PATIENCE_SECONDS:
                raise RuntimeError(f"{number.name} left processes: {orphans}")
            time.sleep(LOOK_SECONDS)
        kill.said = self.log.read_bytes()[size:].decode(errors="replace")
        kill.left = self._new_temporary_files()
        return kill

    def _new_temporary_files(self) -> list[str]:
        return [name for name in temporary_files(self.project.results) if name not in self._before]

    def _line(self, kill: Kill) -> str:
        writing = f", writing {', '.join(kill.writing)}" if kill.writing else ""
        return f"kill {len(self.kills)}: {'+'.join(kill.hit)} after {kill.seconds:.1f} s{writing}"

    def table(self) -> str:
        """Return a table of the kills by the phase that they hit."""
        rows = [("phase hit", "kills", "while writing", "left behind", "stopped after, s")]
        for phase in dict.fromkeys([START, *PHASES.values(), BETWEEN, END]):
            hits = [kill for kill in self.kills if phase in kill.hit]
            if hits:
                longest = max(kill.took for kill in hits)
                writing, left = sum(bool(kill.writing) for kill in hits), sum(bool(kill.left) for kill in hits)
                rows.append((phase, str(len(hits)), str(writing), str(left), f"{longest:.2f}"))
        return "\n".join(f"{a:<14}{b:>7}{c:>15}{d:>13}{e:>18}" for a, b, c, d, e in rows)


def age(results: Path, hours: float = 2.0) -> None:
    """Make all temporary files as old as those that nobody can be writing any more."""
    then = time.time() - 3600 * hours
    for name in temporary_files(results):
        path = results / name
        for inner in [*(path.rglob("*") if path.is_dir() else ()), path]:
            os.utime(inner, (then, then))


def aftermath(calm: Project, stormy: Project) -> list[str]:
    """Return what is wrong after a storm: what verify finds, what gc does not remove, and what differs."""
    problems = []
    age(stormy.results)
    for command in (["gc", "--delete"], ["verify", "results/plan/config.yaml"]):
        result = stormy.command(*command)
        if result.returncode:
            problems.append(f"{command[0]}: {result.stdout[-2000:]} {result.stderr[-2000:]}")
    return problems + differences(calm.results, stormy.results)


def main() -> int:
    """Run a storm and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how often to kill (default: 100)")
    parser.add_argument("--signal", default="KILL", help="KILL, TERM, INT, or several with commas: in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--epochs", type=int, default=400, help="of each training (default: 400)")
    parser.add_argument("--folder", type=Path, help="where to run, kept; default: a temporary folder")
    arguments = parser.parse_args()
    signals = [signal.Signals[f"SIG{name}"] for name in arguments.signal.split(",")]
    with tempfile.TemporaryDirectory(prefix="storm-") as temporary:
        folder = arguments.folder or Path(temporary)
        for name in ("calm", "stormy"):
            (folder / name).mkdir(parents=True)
        calm, stormy = make_project(folder / "calm"), make_project(folder / "stormy")
        timing = undisturbed(calm, arguments.epochs, folder / "calm.log")
        shown = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in timing.jobs.items())
        print(f"undisturbed: {timing.total:.0f} s; start-up {timing.start:.1f} s, jobs, s: {shown}", flush=True)
        storm = Storm(stormy, arguments.epochs, timing, signals, arguments.seed, folder / "stormy.log")
        began = time.monotonic()
        storm.rage(arguments.kills, lambda line: print(line, flush=True))
        print(f"{len(storm.kills)} kills ({arguments.signal}) in {time.monotonic() - began:.0f} s\n{storm.table()}")
        problems = aftermath(calm, stormy)
        print("\n".join(problems) or "all results are those of the undisturbed run, byte for byte")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
