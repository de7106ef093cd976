"""What a run shows while it works: on a terminal its jobs, and below them a bar; elsewhere a line now and then."""

import json
import os
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vicinal.errors import VicinalError, describe
from vicinal.jobs.heartbeat import EVERY, read_beats
from vicinal.results import STAGE_OF
from vicinal.running.log_reader import Job, Run
from vicinal.running.time_left import Running, work_left
from vicinal.running.tracking import Tracker
from vicinal.words import duration

# Without a terminal, the running jobs are shown after so many seconds without news.
QUIET_SECONDS = 20
SHOWN_JOBS = 4
BAR = 40  # columns at most
DRAW_SECONDS = 0.5
# Least columns for the name of a job: loss and accuracy are shown where they leave so much.
NAME = 22

Planned = Callable[[], dict[str, float]]


class LiveView:
    """Shows a run, by the heartbeats below ``results``; ``planned`` returns rule → seconds until a job has finished."""

    def __init__(
        self, console: Console, results: Path, planned: Planned = dict, tracker: Tracker | None = None
    ) -> None:
        self.run = Run()
        self._console, self._results, self._find_planned = console, results, planned
        self._tracker = tracker
        self._planned: dict[str, float] = {}
        self._beats: dict[tuple[str, str], dict[str, Any]] = {}
        self._began = self._last_news = time.monotonic()
        self._first_job: float | None = None
        self._next_look = self._next_drawing = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stderr=False)

    def __enter__(self) -> "LiveView":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.stop()
        if self._tracker:
            self._tracker.close()

    def take(self, event: dict[str, Any]) -> None:
        """Take in one of Snakemake's events, and print what is new by it."""
        finished = self.run.take(event)
        if event["event"] == "run_info":
            self._planned = self._find_planned()
        if self.run.running and self._first_job is None:
            self._first_job = time.monotonic()
        while self.run.news:
            self._say(self.run.news.pop(0))
        if finished is not None:
            self._track(lambda tracker: tracker.finish(finished.rule, finished.wildcards))
            self._last_news = time.monotonic()
            count = f"[{self.run.done:>{len(str(self.run.total))}}/{self.run.total}]"
            self._say(f"{count} {self._clock()} {finished.label}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def show(self) -> None:
        """Show the present state, if it is time to."""
        now = time.monotonic()
        if now >= self._next_look and (self._console.is_terminal or self._tracker):
            self._look()
        if self._console.is_terminal and now >= self._next_drawing:
            self._next_drawing = now + DRAW_SECONDS
            self._live.update(self.render(), refresh=True)
        elif not self._console.is_terminal and self.run.running and now - self._last_news > QUIET_SECONDS:
            self._last_news = now
            self._look()
            self._say(f"        {self._clock()} … {self._count()}{self._time_left()}")
            for job in list(self.run.running.values())[:SHOWN_JOBS]:
                self._say(f"        {self._clock()} … {job.last_line() or job.label}")
            if more := self._more(SHOWN_JOBS):
                self._say(f"        {self._clock()} … {more}")

    def _look(self) -> None:
        self._next_look = time.monotonic() + EVERY
        self._beats = {(beat["stage"], beat["id"]): beat for beat in read_beats(self._results, time.time())}
        self._track(lambda tracker: tracker.look(self._beats.values()))

    def _track(self, tell: Callable[[Tracker], None]) -> None:
        """Tell the tracker; if it fails, e.g. as the disk is full, the run goes on without it."""
        try:
            if self._tracker:
                tell(self._tracker)
        except (VicinalError, OSError) as error:
            self._tracker = None
            self._say(f"warning: execution.track: {describe(error)}; going on without it")

    def render(self) -> RenderableType:
        """Return the jobs, a line each, and below them the bar, the count, the clock and the time left for all."""
        jobs = list(self.run.running.values())[: max(1, min(SHOWN_JOBS, self._console.height - 3))]
        lines = [*self._lines(jobs), *filter(None, [self._more(len(jobs))])]
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in lines), self._bar())

    def _lines(self, jobs: list[Job]) -> list[str]:
        """Return a line for each job, in columns: the rule, what it works on, how far it is."""
        rule = max((len(job.rule) for job in jobs), default=0)
        name = max((len(job.wildcards) for job in jobs), default=0)
        room = self._console.width - rule - 4
        most = room - min(name, NAME)
        states = [self._state(job, with_curves=True) for job in jobs]
        if any(len(state) > most for state in states):
            states = [shorten(self._state(job, with_curves=False), most) for job in jobs]
        name_room = min(name, room - max(map(len, states), default=0))
        return [
            f"{job.rule:<{rule}}  {shorten(job.wildcards, name_room):<{name_room}}  {state}"
            for job, state in zip(jobs, states, strict=True)
        ]

    def _bar(self) -> RenderableType:
        words = f"{self._count()}  {self._clock()}{self._time_left()}"
        bar = ProgressBar(
            total=self.run.total or None,
            completed=self.run.done,
            width=max(4, min(BAR, self._console.width - len(words) - 3)),
            pulse=not self.run.total,
        )
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True)
        line.add_row(bar, Text(words))
        return line

    def _count(self) -> str:
        return f"{self.run.done}/{self.run.total} jobs" if self.run.total else "finding out what there is to do"

    def _clock(self) -> str:
        return str(timedelta(seconds=int(time.monotonic() - self._began)))

    def _more(self, shown: int) -> str:
        more = len(self.run.running) - shown
        return f"and {more} more jobs, queued or running" if more > 0 else ""

    def _beat(self, job: Job) -> dict[str, Any]:
        """Return the heartbeat of a job; empty if there is none yet."""
        return self._beats.get((STAGE_OF.get(job.rule, ""), job.wildcards), {})

    def _state(self, job: Job, with_curves: bool) -> str:
        """Return how far a job is, perhaps with loss and accuracy; without a count, the last line of its log."""
        beat = self._beat(job)
        if not (count := describe_count(beat)):
            return job.last_line().removeprefix(f"{job.wildcards}: ")
        words = [count]
        if beat["seconds_left"] is not None:
            words.append(f"{duration(beat['seconds_left'])} left")
        curves = (beat.get("models") or {}).values()
        if with_curves and (loss := value_range(curves, "loss", "{:.3f}")):
            words.append(f"loss {loss}")
        if with_curves and (accuracy := value_range(curves, "accuracy", "{:.1%}")):
            words.append(f"val {accuracy}")
        return ", ".join(words)

    def _time_left(self) -> str:
        """Return the time until all is done: the work left, over how many jobs have been at work at a time."""
        run, now = self.run, time.monotonic()
        if not run.total or self._first_job is None or run.done == run.total:
            return ""
        running = [Running(job.rule, job.seconds, self._beat(job).get("seconds_left")) for job in run.running.values()]
        took = {rule: seconds[::-1] for rule, seconds in run.took.items()}
        work, at_least = work_left(run.waiting, running, took, self._planned)
        done = sum(map(sum, run.took.values())) + sum(job.seconds for job in running)
        seconds = work * (now - self._first_job) / done if done else work
        if at_least and not work:
            return ""
        return f"  {'at least' if at_least else 'about'} {duration(seconds)} left"


def shorten(text: str, width: int) -> str:
    """Return a text of at most ``width`` letters; a longer one loses its middle, as names differ at their ends."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return text[: max(0, width - 1 - end)] + "…" + text[len(text) - end :] if width > 0 else ""


def describe_count(beat: dict[str, Any]) -> str:
    """Return how many units of a heartbeat's job are done, e.g. ``12.3/240 epochs``; empty if that is not known."""
    done, total = beat.get("done"), beat.get("total")
    if done is None or total is None:
        return ""
    return f"{done if isinstance(done, int) else f'{done:.1f}'}/{total} {beat.get('unit')}"


def value_range(curves: Iterable[dict[str, float | None]], name: str, form: str) -> str:
    """Return a value of the models of a job as one, or from the lowest to the highest; empty if none is known."""
    known = sorted(value for value in (model.get(name) for model in curves) if value is not None)
    if not known:
        return ""
    low, high = form.format(known[0]), form.format(known[-1])
    return low if low == high else f"{low.removesuffix('%')}–{high}"


def follow(pipe: int, view: LiveView) -> None:
    """Take in Snakemake's events until it has ended; show what happens."""
    lines: Queue[str] = Queue()
    Thread(target=_read_lines, args=(pipe, lines), daemon=True).start()
    with view:
        while True:
            view.show()
            try:
                line = lines.get(timeout=DRAW_SECONDS)
            except Empty:
                continue
            if not line.endswith("\n"):  # Snakemake ended, or was killed within a line
                return
            view.take(json.loads(line))


def _read_lines(pipe: int, lines: Queue[str]) -> None:
    """Put the lines of a pipe into a queue, and at its end one without a line break."""
    with os.fdopen(pipe, encoding="utf-8") as events:
        for line in events:
            lines.put(line)
    lines.put("")
