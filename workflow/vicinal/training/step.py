"""What a training is, and one step of it with a whole cohort, made so that a CUDA graph can hold it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from vicinal.training.batch_plan import BatchPlan, batch_plan
from vicinal.training.inputs import EpochTables, Images, MixedBatch, make_batch
from vicinal.training.lean import LeanForward, count_batches
from vicinal.training.learner import Learner
from vicinal.training.losses import Answers, total_loss
from vicinal.training.numerics import Numerics
from vicinal.training.optimizers import update
from vicinal.training.phases import Phase


@dataclass(frozen=True)
class Training:
    """What is trained on what, and how: the same for all networks of a cohort.

    Attributes:
        data: the training split, on the device where the training runs.
        validation: the validation split, for the history and the schedule ``plateau``; may be empty.
        recipe: resolved, see ``vicinal.config.Recipe``.
        seed: with the epoch it determines the batches.
        alpha: of the mixup; None: inputs are not mixed.
        teacher: frozen and in evaluation mode, asked once a batch for all networks; None: there is none.
        numerics: how to compute.
    """

    data: Images
    validation: Images
    recipe: dict[str, Any]
    seed: int
    alpha: float | None = None
    teacher: torch.nn.Module | None = None
    numerics: Numerics = field(default_factory=Numerics)

    @property
    def device(self) -> torch.device:
        """Return where the training runs."""
        return self.data.device

    def mixes(self, phase: Phase) -> bool:
        """Return whether inputs are mixed in a phase."""
        return self.alpha is not None and not phase.head

    def plan(self, epoch: int, phase: Phase) -> BatchPlan:
        """Return the batch plan of an epoch, from 0, which is in ``phase``."""
        return batch_plan(
            len(self.data),
            self.recipe["batch_size"],
            seed=self.seed,
            epoch=epoch,
            alpha=self.alpha if self.mixes(phase) else None,
            crop_padding=self.data.window.room if self.data.window else self.recipe["crop_padding"],
            flip=self.recipe["flip"],
        )


class CohortStep:
    """A step with every learner of a cohort on the next images of the epoch.

    Everything that it reads or writes, its own position in the epoch too, lies in tensors that keep their places, and
    it never waits for the device. On a GPU each learner has a stream of its own, so that their small kernels run side
    by side. The teacher is asked once for all learners, and one call updates all.

    Args:
        learners: networks on the device of the data.
        training: what they are trained on, and how.
        tables: of the epoch; they are loaded anew before each.
        phase: of the training.

    Attributes:
        learners, phase: as above.
        losses: (steps of an epoch, learners), of this epoch.
    """

    def __init__(self, learners: list[Learner], training: Training, tables: EpochTables, phase: Phase) -> None:
        self.learners, self.phase = learners, phase
        self._training, self._tables = training, tables
        self._mixed = training.mixes(phase)
        self._teacher = None if phase.head else training.teacher
        self._device = training.device
        bf16 = training.numerics.precision == "bf16"
        self._lean = [LeanForward(learner.model, bf16=bf16) for learner in learners]
        self.use_plain_networks()
        steps = len(tables.bounds)
        self.losses = torch.zeros(steps, len(learners), device=self._device)
        self._rates = torch.zeros(steps, device=self._device)
        # Of shape (1,): indexing by a 0-d tensor would wait for the device.
        self._number = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._position = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._within = torch.arange(training.recipe["batch_size"], device=self._device)
        # The next photos, of data sets that are decoded as they are needed.
        self._pixels: torch.Tensor | None = None
        on_gpu = self._device.type == "cuda"
        self._streams = [_stream(self._device, k) for k in range(len(learners))] if on_gpu else []

    def begin(self, rates: list[float], number: int = 0, losses: torch.Tensor | None = None) -> None:
        """Begin an epoch, or continue one.

        Args:
            rates: the learning rate of each step.
            number: of the next step, from 0.
            losses: those of the epoch so far, as ``self.losses``; None: there are none.
        """
        self._rates.copy_(torch.tensor(rates))
        self._number.fill_(number)
        self._position.fill_(self._tables.bounds[number][0] if number < len(rates) else 0)
        if losses is None:
            self.losses.zero_()
        else:
            self.losses.copy_(losses)

    def feed(self, pixels: torch.Tensor | None) -> None:
        """Take the photos of the next batch, (N, H, W, C) uint8, in the order of the plan; None: there are none."""
        if pixels is None:
            return
        if self._pixels is None:
            self._pixels = pixels.new_empty(self._training.recipe["batch_size"], *pixels.shape[1:])
        self._pixels[: len(pixels)].copy_(pixels, non_blocking=True)

    def __call__(self, size: int) -> None:
        """Train on the next ``size`` images."""
        data, here = self._training.data, self._position + self._within[:size]
        if self._pixels is None:
            batch = make_batch(data, self._tables, here, self._training.recipe, mixed=self._mixed)
        else:
            batch = data.batch(self._pixels[:size], self._tables, here, mixed=self._mixed)  # type: ignore[attr-defined]
        teacher_logits = None
        if self._teacher is not None:
            with torch.no_grad():
                teacher_logits = self._logits(self._teacher, batch.inputs)
        losses = []
        with self._side_by_side():
            for k in range(len(self.learners)):
                with self._on_stream(k):
                    losses.append(self._backward(k, batch, teacher_logits))
        count_batches(self._lean)
        update([learner.optimizer for learner in self.learners], self._rates[self._number][0])
        self.losses.index_copy_(0, self._number, torch.stack(losses)[None])
        self._number += 1
        self._position += size

    def _backward(self, k: int, batch: MixedBatch, teacher_logits: torch.Tensor | None) -> torch.Tensor:
        """Compute a learner's gradients; return its loss."""
        learner = self.learners[k]
        learner.optimizer.zero_grad()
        with self._lean[k]():
            logits = self._logits(learner.model, batch.inputs)
        if teacher_logits is not None:
            teacher_logits = teacher_logits * learner.logit_scale
        answers = Answers(logits, batch.labels, batch.partner_labels, batch.lam, teacher_logits, learner.temperature)
        loss = total_loss(learner.terms, answers)
        loss.backward()
        return loss.detach()

    def _logits(self, model: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, K) float32 of a network, which may be compiled for whole batches."""
        if len(inputs) == self._training.recipe["batch_size"]:
            model = self._compiled.get(model, model)
        with self._training.numerics.autocast(self._device):
            return model(inputs).float()

    @contextmanager
    def _side_by_side(self) -> Iterator[None]:
        """Let all streams begin here and end here, after an error too: else a capture could not end."""
        for stream in self._streams:
            stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            yield
        finally:
            for stream in self._streams:
                torch.cuda.current_stream(self._device).wait_stream(stream)

    def _on_stream(self, k: int) -> AbstractContextManager:
        return torch.cuda.stream(self._streams[k]) if self._streams else nullcontext()

    def compile_networks(self) -> None:
        """Run whole batches through compiled networks from now on; the next step compiles them."""
        models = [learner.model for learner in self.learners]
        if self._teacher is not None:
            models.append(self._teacher)
        # Fused convolutions are none of the compiler's: it has its own ways.
        self._compiled = {model: torch.compile(getattr(model, "plain", model), dynamic=False) for model in models}

    def use_plain_networks(self) -> None:
        """Run the networks without compilation from now on."""
        self._compiled: dict[torch.nn.Module, Callable] = {}

    @property
    def is_compiled(self) -> bool:
        """Return whether whole batches run through compiled networks."""
        return bool(self._compiled)

    def state(self) -> Iterator[torch.Tensor]:
        """Yield all tensors that a step changes; not the gradients, which the next step makes anew."""
        for learner in self.learners:
            yield from learner.model.state_dict().values()
            yield from learner.optimizer.buffers
        yield from (self.losses, self._number, self._position)


@cache
def _stream(device: torch.device, k: int) -> torch.cuda.Stream:
    """Return the stream of the k-th learner: the same in all steps, since cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)


def copy_state(values: list[torch.Tensor], state: list[torch.Tensor]) -> None:
    """Copy values into the tensors of a state, in their places."""
    with torch.no_grad():
        for own, value in zip(state, values, strict=True):
            own.copy_(value)
