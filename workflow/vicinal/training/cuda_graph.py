"""A training step as a CUDA graph: one launch instead of a thousand, which are most of a small network's time."""

from collections import Counter
from collections.abc import Callable

import torch

from vicinal.training.memory import is_out_of_memory
from vicinal.training.step import CohortStep, copy_state

# Eager runs before a capture: libraries choose their kernels and allocate what they keep.
WARM_UP = 3
# A replay may differ from the eager step by rounding, relative to the update of all weights and to each loss.
UPDATE_TOLERANCE, LOSS_TOLERANCE = 0.05, 0.01

Capture = Callable[[Callable[[], None]], Callable[[], None]]


class CudaCapture:
    """Captures functions as CUDA graphs that share the memory of intermediate results: they never run side by side."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._bytes = 0

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return a function that repeats everything ``function`` starts on the GPU, in the same memory.

        Args:
            function: was called just before, with no memory in torch's cache: what is there now is what it takes.

        Raises:
            torch.OutOfMemoryError: a graph needs memory of its own, and there is not enough.
            RuntimeError: ``function`` does what cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        needed = torch.cuda.memory_reserved() - torch.cuda.memory_allocated() - self._bytes
        torch.cuda.empty_cache()
        if torch.cuda.mem_get_info()[0] + self._bytes < needed:
            raise torch.OutOfMemoryError(f"a CUDA graph needs {needed:,} bytes of GPU memory, more than there is")
        before, stream, failures = torch.cuda.memory_reserved(), torch.cuda.current_stream(), _failed_allocations()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                function()
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # torch leaves its own where a capture cannot end
            # cuDNN tries other engines where one finds no room, which no capture allows: then another error is raised.
            if _failed_allocations() > failures:
                raise torch.OutOfMemoryError("memory ran out while a CUDA graph was captured") from None
            raise error.__context__ or error from None  # the first one, not that the capture could not end after it
        self._bytes += torch.cuda.memory_reserved() - before
        return graph.replay


def _failed_allocations() -> int:
    return torch.cuda.memory_stats()["num_ooms"]


class ReplayedStep:
    """A step that is replayed from a graph, one graph a batch size.

    The first steps run eagerly. Then the step is captured. The graph is used only if it changes weights, statistics,
    momentum and losses as the eager step does from the same state. Every step counts for the training.

    Args:
        step: what to run.
        say: called with a line of text where the graph is not used.
        capture: for tests.
    """

    def __init__(self, step: CohortStep, say: Callable[[str], None], capture: Capture | None = None) -> None:
        self._step, self._say, self._capture = step, say, capture or CudaCapture()
        self._replays: dict[int, Callable[[], None]] = {}
        self._eager_runs: Counter[int] = Counter()
        self._usable = True

    def __call__(self, size: int) -> None:
        """Train on the next ``size`` images."""
        if replay := self._replays.get(size):
            replay()
        elif self._usable and self._eager_runs[size] >= WARM_UP:
            self._checked_step(size)
        else:
            self._step(size)
            self._eager_runs[size] += 1

    def _checked_step(self, size: int) -> None:
        """Take a step eagerly, and once more from the same state by a new graph; keep the graph if both agree."""
        state = list(self._step.state())
        before = [value.clone() for value in state]
        torch.cuda.empty_cache()  # as the capture wants it
        self._step(size)
        eager = [value.clone() for value in state]
        copy_state(before, state)
        try:
            replay = self._capture(lambda: self._step(size))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            problem = f"it could not be captured ({next(iter(str(error).splitlines()), type(error).__name__)})"
        else:
            replay()
            problem = _difference(before, eager, state)
        if problem is None:
            self._replays[size] = replay
            return
        self._usable = False
        self._replays.clear()
        self._say(f"no CUDA graph, so this is slower: {problem}")
        for learner in self._step.learners:
            learner.optimizer.zero_grad()  # gradients may lie in the graph's memory
        copy_state(eager, state)


def _difference(before: list[torch.Tensor], eager: list[torch.Tensor], replayed: list[torch.Tensor]) -> str | None:
    """Return how a replay differs from the eager step from the same state; None where it does not.

    The last three tensors are losses, step number and position (``CohortStep.state``).
    """
    if not all(torch.equal(a, b) for a, b in zip(eager[-2:], replayed[-2:], strict=True)):
        return "its position in the epoch differs"
    # NaN equals NaN: a network that diverges is not the graph's fault.
    if not torch.allclose(eager[-3], replayed[-3], rtol=LOSS_TOLERANCE, atol=LOSS_TOLERANCE, equal_nan=True):
        return "its losses differ from those of the eager step"
    squares = torch.zeros(2, dtype=torch.float64, device=eager[0].device)
    for old, right, own in zip(before[:-3], eager[:-3], replayed[:-3], strict=True):
        pair = torch.stack([(own.double() - right.double()).square().sum(), (right.double() - old).square().sum()])
        squares += torch.where(pair.isfinite(), pair, 0.0)
    wrong, size = squares.sqrt().tolist()
    if wrong > UPDATE_TOLERANCE * size:
        return f"its update differs from the eager step's by {wrong / max(size, 1e-300):.0%}"
    return None
