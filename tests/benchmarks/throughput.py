"""Seconds an epoch of ways to train a pair of networks, and what these mean in operations and bytes a second."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import torch
from roofline import measure_ceilings, step_work
from training_loops import (
    BATCH,
    WARM_UP,
    Times,
    bare_epoch,
    engine_epochs,
    learner_of,
    random_images,
    random_teacher,
    ready_batches,
    standard_epochs,
)

from vicinal.training.inputs import to_device
from vicinal.training.memory import release_memory
from vicinal.training.numerics import Numerics

EPOCH_IMAGES = 45_000  # CIFAR-100 without its validation split
STANDARD, BARE, PLAIN, COMPILED = "usual loop", "bare loop", "engine", "engine, compiled"
# A compiled row whose pair has been compiled already.
COMPILED_BEFORE = "compiled before"
# Seconds that a first row of its kind is taken to need; later ones at most twice as long as the longest so far.
FIRST_ROW = {STANDARD: 30.0, BARE: 30.0, PLAIN: 20.0, COMPILED: 120.0, COMPILED_BEFORE: 20.0}


@dataclass
class Row:
    """What was measured of one way to train one pair of networks."""

    pair: str
    way: str
    students: int
    precision: str
    seconds_per_epoch: float  # of each student
    stretches: list[float]  # seconds of --steps steps each
    images_per_second: float
    tflops: float
    share_of_matmul: float
    gigabytes_per_second: float
    share_of_copy: float
    startup_seconds: float | None
    first_step_seconds: float | None
    ratio: float | None = None
    ratio_to_bare: float | None = None
    compile_seconds: float | None = None
    notes: list[str] = field(default_factory=list)  # what the engine said


class Benchmark:
    """Measures rows, one after the other.

    Attributes:
        rows: what was measured so far.
        left_out: names of the rows that there was no time for.
        ceilings: of the device, see ``measure_ceilings``.
    """

    def __init__(
        self,
        device: torch.device,
        numerics: Numerics,
        *,
        steps: int,
        repeats: int,
        workers: int,
        minutes: float,
        quick: bool = False,
    ) -> None:
        """Measure the ceilings.

        Args:
            device: where to measure.
            numerics: of the engine.
            steps: of a stretch that is timed.
            repeats: stretches of a row.
            workers: processes of the usual loop.
            minutes: a row that would not end within them is left out.
            quick: smaller ceilings and less warm-up, to see that all works.
        """
        self._device, self._numerics, self._steps, self._repeats = device, numerics, steps, repeats
        self._workers, self._minutes, self._warm_up = workers, minutes, 2 if quick else WARM_UP
        self._began = time.perf_counter()
        self._longest: dict[str, float] = {}
        self._teachers: dict[str, torch.nn.Module] = {}
        self.rows: list[Row] = []
        self.left_out: list[str] = []
        self.say("measuring the ceilings …")
        self.ceilings = measure_ceilings(device, quick)
        self._data = random_images(BATCH * steps, device)

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._began

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"{self.seconds:6.0f} s  {text}", flush=True)

    def measure(self, pair: str, way: str, students: int = 1) -> None:
        """Measure a row, if there is time."""
        name = f"{pair}, {way}, {students}"
        before = any((row.pair, row.way) == (pair, COMPILED) for row in self.rows)
        kind = COMPILED_BEFORE if way == COMPILED and before else way
        if 2 * self._longest.get(kind, FIRST_ROW[kind] / 2) > 60 * self._minutes - self.seconds:
            self.left_out.append(name)
            self.say(f"{name}: left out, there is no time for it")
            return
        self.say(f"{name} …")
        began = self.seconds
        row = self._row(pair, way, students)
        self.rows.append(row)
        release_memory()  # what it held must not stand in the way of the next one
        self._longest[kind] = max(self._longest.get(kind, 0.0), self.seconds - began)
        self.say("; ".join([f"{name}: {row.seconds_per_epoch:.3f} s an epoch and student", *row.notes]))

    def _row(self, pair: str, way: str, students: int) -> Row:
        notes: list[str] = []
        times = self._times(pair, way, students, notes)
        steps_per_epoch = EPOCH_IMAGES / BATCH
        a_step = median(times.stretches) / self._steps
        precision = self._numerics.precision if way in (PLAIN, COMPILED) else "fp32"
        work = step_work(*pair.split("→"), students, precision)
        row = Row(
            pair,
            way,
            students,
            precision,
            seconds_per_epoch=a_step * steps_per_epoch / students,
            stretches=times.stretches,
            images_per_second=students * BATCH / a_step,
            tflops=work.flops / a_step / 1e12,
            share_of_matmul=work.flops / a_step / self.ceilings["matmul_flops_per_second"],
            gigabytes_per_second=work.bytes / a_step / 1e9,
            share_of_copy=work.bytes / a_step / self.ceilings["copy_bytes_per_second"],
            startup_seconds=times.startup,
            first_step_seconds=times.first_step,
            notes=notes,
        )
        if standard := self._of(pair, STANDARD):
            row.ratio = standard.seconds_per_epoch / row.seconds_per_epoch
        if bare := self._of(pair, BARE):
            row.ratio_to_bare = bare.seconds_per_epoch / row.seconds_per_epoch
        plain = self._of(pair, PLAIN, students)
        if way == COMPILED and plain:
            row.compile_seconds = row.first_step_seconds - plain.first_step_seconds
        return row

    def _of(self, pair: str, way: str, students: int = 1) -> Row | None:
        found = (row for row in self.rows if (row.pair, row.way, row.students) == (pair, way, students))
        return next(found, None)

    def _times(self, pair: str, way: str, students: int, notes: list[str]) -> Times:
        teacher_name, student = pair.split("→")
        if teacher_name not in self._teachers:
            self._teachers[teacher_name] = random_teacher(teacher_name, self._data["train"])
        teacher, steps, repeats = self._teachers[teacher_name], self._steps, self._repeats
        if way == STANDARD:
            with usual_switches():
                return standard_epochs(
                    student, teacher, self._data["train"], steps=steps, repeats=repeats, workers=self._workers,
                    warm_up=self._warm_up,
                )  # fmt: skip
        if way == BARE:
            batches = ready_batches(self._data["train"], steps)
            times = {
                layout: [bare_epoch(batches, student, layout, teacher) for _ in range(repeats + 1)][1:]
                for layout in (torch.contiguous_format, torch.channels_last)
            }
            return Times(None, min(times.values(), key=median))
        # One of its own: under bf16 its weights are rounded.
        teacher = self._numerics.freeze(to_device(copy.deepcopy(teacher), self._device))
        numerics = replace(self._numerics, compile="on" if way == COMPILED else "off")
        learners = [learner_of(student, self._data["train"], float(k + 1)) for k in range(students)]
        times = engine_epochs(
            learners, self._data, epochs=repeats + 1, numerics=numerics, teacher=teacher, say=notes.append
        )
        first, *later = times.stretches
        return Times(times.first_step, later, first - median(later))


@contextmanager
def usual_switches() -> Iterator[None]:
    """Let torch compute as it does by itself, and as those who train with it usually ask."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32, cudnn.benchmark = True, True
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark = before
