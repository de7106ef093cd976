"""Steps as fast as the device allows: replayed as CUDA graphs, and compiled where that pays.

``cuda_graph`` replays a step, ``compilation`` decides when to compile; this module applies both.
"""

import time
from collections import deque
from collections.abc import Callable

import torch

from vicinal.training.batch_plan import BatchPlan
from vicinal.training.compilation import Compilation
from vicinal.training.cuda_graph import ReplayedStep
from vicinal.training.inputs import EpochTables
from vicinal.training.learner import Learner
from vicinal.training.memory import is_out_of_memory, release_memory
from vicinal.training.phases import Phase
from vicinal.training.step import CohortStep, Training, copy_state

# Steps that the host may be ahead of a GPU: enough for the GPU never to wait. Their photos lie in pinned memory.
AHEAD = 8


class FastSteps:
    """Makes the steps of a training, and runs each in the fastest way that works here.

    Args:
        training: what is trained.
        say: called with a line of text where something is slower than it could be, or was found to be faster.
    """

    def __init__(self, training: Training, say: Callable[[str], None]) -> None:
        self._training, self._say = training, say
        self._compilation = Compilation(training.numerics.compile, say)
        self._tables: EpochTables | None = None
        self._step: CohortStep | None = None
        self._run: Callable[[int], None] | None = None
        self._ahead: deque[torch.cuda.Event] = deque()

    def begin_epoch(self, learners: list[Learner], phase: Phase, plan: BatchPlan) -> CohortStep:
        """Return the step for these learners in this phase, over the batches of a plan."""
        if self._tables is None:
            self._tables = EpochTables(plan, self._training.device)
        else:
            self._tables.load(plan)
        if self._step is None or (self._step.learners, self._step.phase) != (learners, phase):
            if self._step is not None:
                self._step = self._run = None
                release_memory()  # for the new one
            self._step = CohortStep(learners, self._training, self._tables, phase)
            self._run = self._runner()
        if self._step.is_compiled and not self._compilation.active:
            self._step.use_plain_networks()
            self._run = self._runner()
        return self._step

    def run(self, size: int) -> None:
        """Train on the next ``size`` images."""
        if self._compilation.active and not self._step.is_compiled and not self._step.phase.head:
            self._compile(size)
        self._run(size)
        self._keep_up()

    def _keep_up(self) -> None:
        """Wait for a GPU that is too far behind."""
        if self._training.device.type == "cuda":
            self._ahead.append(torch.cuda.Event(blocking=True))  # the threads that decode photos need the core
            self._ahead[-1].record()
            if len(self._ahead) > AHEAD:
                self._ahead.popleft().synchronize()

    def after_epoch(self, seconds: float, epochs_left: int) -> None:
        """Tell the compilation the wall time of a whole epoch: it decides about the next one."""
        self._compilation.after_epoch(seconds, epochs_left)

    def _compile(self, size: int) -> None:
        """Compile the networks, by a step that does not count."""
        began = time.perf_counter()
        state = list(self._step.state())
        before = [value.clone() for value in state]
        self._run = None  # its graphs hold memory
        try:
            self._step.compile_networks()
            self._step(size)
        except Exception as error:  # the compiler raises anything; an error of ours comes again in the plain step
            if is_out_of_memory(error):
                raise
            self._compilation.failed(error)
            self._step.use_plain_networks()
        copy_state(before, state)
        self._run = self._runner()
        self._compilation.seconds = time.perf_counter() - began

    def _runner(self) -> Callable[[int], None]:
        on_gpu = self._training.device.type == "cuda"
        return ReplayedStep(self._step, self._say) if on_gpu and self._training.numerics.graph else self._step
