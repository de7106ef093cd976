"""One training step of a cohort, made so that a CUDA graph can hold it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from vicinal.inputs import Batch, EpochTables, Images, make_batch
from vicinal.learner import Learner
from vicinal.losses import Answers, total_loss
from vicinal.numerics import Numerics
from vicinal.optim import update
from vicinal.parallel import Group


class CohortStep:
    """A step with every learner of a cohort on the next images of the epoch.

    All that it needs lies in tensors that keep their places, its own position in the epoch too, and it never waits for
    the device. Each learner has a stream of its own on a GPU, so that their small kernels run side by side; the teacher
    is asked once for all, and one call updates all.

    Attributes:
        learners: the networks in training.
        losses: (steps of an epoch, learners), of this epoch.
    """

    def __init__(
        self,
        learners: list[Learner],
        data: Images,
        tables: EpochTables,
        recipe: dict,
        numerics: Numerics,
        *,
        mixed: bool,
        teacher: torch.nn.Module | None = None,
        transform: Callable[[torch.nn.Module], Callable] = lambda model: model,
        group: Group | None = None,
    ) -> None:
        """Prepare steps.

        Args:
            learners: networks on the device of ``data``.
            data: the training split.
            tables: of the epoch; they are loaded anew before each.
            recipe: resolved recipe.
            numerics: how to compute.
            mixed: whether inputs are mixed.
            teacher: frozen, in evaluation mode; asked about the same inputs.
            transform: makes of a network what is called instead of it on whole batches, e.g. ``torch.compile``.
            group: the processes that share each batch; None: this one alone.
        """
        self.learners = learners
        self._data, self._tables, self._recipe, self._numerics, self._mixed = data, tables, recipe, numerics, mixed
        self._teacher, self._group = teacher, group or Group()
        models = [learner.model for learner in learners] + ([] if teacher is None else [teacher])
        self._transformed = {model: transform(model) for model in models}
        self._device = data.device
        steps = len(tables.bounds)
        self.losses = torch.zeros(steps, len(learners), device=self._device)
        self._rates = torch.zeros(steps, device=self._device)
        # One element each, not none: to index by a 0-d tensor would wait for the device.
        self._number = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._position = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._within = torch.arange(recipe["batch_size"], device=self._device)
        # Where the next photos lie, for data sets that are decoded as they are needed.
        self._pixels: torch.Tensor | None = None
        self._dropouts = [
            module for learner in learners for module in learner.model.modules() if hasattr(module, "first_row")
        ]
        on_gpu = self._device.type == "cuda"
        self._streams = [torch.cuda.Stream(self._device) for _ in learners] if on_gpu else []

    def begin(self, rates: list[float], number: int = 0, losses: torch.Tensor | None = None) -> None:
        """Begin an epoch, or go on with one.

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
        """Take the photos of the next batch, (N, H, W, C) uint8, in the order of the plan; None: there are none.

        With several processes those of this one's rows, and of their partners.
        """
        if pixels is None:
            return
        if self._pixels is None:
            # Half of the rows and their partners may be one more than the batch.
            most = self._recipe["batch_size"] + (not self._group.is_one)
            self._pixels = pixels.new_empty(most, *pixels.shape[1:])
        self._pixels[: len(pixels)].copy_(pixels, non_blocking=True)

    def __call__(self, size: int) -> None:
        """Train on the next ``size`` images."""
        rows = None if self._group.is_one else self._group.rows(size)
        batch = self._batch(size, rows)
        teacher_logits = None
        if self._teacher is not None:
            with torch.no_grad(), self._numerics.autocast(self._device):
                teacher_logits = self._ask(self._teacher, batch).float()
        share = None if rows is None else len(batch.labels) / size
        losses = [self._backward(k, batch, teacher_logits, share) for k in range(len(self.learners))]
        for stream in self._streams:
            torch.cuda.current_stream(self._device).wait_stream(stream)
        losses = torch.stack(losses)
        optimizers = [learner.optimizer for learner in self.learners]
        if share is not None:
            self._group.add_up([losses, *(value.grad for optimizer in optimizers for value in optimizer.parameters)])
        update(optimizers, self._rates[self._number][0])
        self.losses.index_copy_(0, self._number, losses[None])
        self._number += 1
        self._position += size

    def _batch(self, size: int, rows: slice | None) -> Batch:
        """Return the next batch, of ``size`` images in all: what this process has of it."""
        here = self._position + self._within[:size]
        if rows is not None:
            for dropout in self._dropouts:
                dropout.first_row = rows.start
        if self._pixels is None:
            return make_batch(self._data, self._tables, here, self._recipe, mixed=self._mixed, rows=rows)
        count = size if rows is None else (1 + self._mixed) * (rows.stop - rows.start)
        return self._data.batch(self._pixels[:count], self._tables, here, mixed=self._mixed, rows=rows)

    def _backward(self, k: int, batch: Batch, teacher_logits: torch.Tensor | None, share: float | None) -> torch.Tensor:
        """Compute a learner's loss, which is returned, and its gradients.

        Of a slice, ``share`` of the batch, that is its part of the loss of the whole batch, which is a mean over the
        images: the parts of all processes add up to it.
        """
        learner = self.learners[k]
        with self._on_stream(k):
            learner.optimizer.zero_grad()
            with self._numerics.autocast(self._device):
                logits = self._ask(learner.model, batch)
            if teacher_logits is not None:
                teacher_logits = teacher_logits * learner.logit_scale
            answers = Answers(
                logits.float(), batch.labels, batch.partner_labels, batch.lam, teacher_logits, learner.temperature
            )
            if share == 0:
                loss = logits.float().sum()  # 0, the mean of nothing is none; the backward pass is needed all the same
            else:
                loss = total_loss(learner.terms, answers)
                loss = loss if share is None else share * loss
            loss.backward()
        return loss.detach()

    def _ask(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        whole = len(batch.inputs) == self._recipe["batch_size"]
        return (self._transformed[model] if whole else model)(batch.inputs)

    def _on_stream(self, k: int) -> AbstractContextManager:
        if not self._streams:
            return nullcontext()
        self._streams[k].wait_stream(torch.cuda.current_stream(self._device))
        return torch.cuda.stream(self._streams[k])

    def state(self) -> Iterator[torch.Tensor]:
        """Yield all tensors that a step changes, but for gradients, which the next one makes anew."""
        for learner in self.learners:
            yield from learner.model.state_dict().values()
            yield from learner.optimizer.buffers
        yield from (self.losses, self._number, self._position)


def copy_state(values: list[torch.Tensor], state: list[torch.Tensor]) -> None:
    """Copy values into the tensors of a state, in their places."""
    with torch.no_grad():
        for own, value in zip(state, values, strict=True):
            own.copy_(value)
