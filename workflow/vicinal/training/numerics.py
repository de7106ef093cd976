"""How a device computes: floating-point precision, determinism, CUDA graphs, compilation. It is part of no spec.

Parameters, batch normalisation, losses and updates are always float32. ``bf16`` and ``tf32`` round the inputs of
convolutions and matrix products, whose sums are float32.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError

if TYPE_CHECKING:
    import torch

    from vicinal.models.cost import Cost

PRECISIONS = ("auto", "fp32", "tf32", "bf16")
COMPILE = ("auto", "on", "off")
# The variable in which torch looks for the folder of compiled networks.
COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True)
class Numerics:
    """How a training computes.

    Attributes:
        precision: ``fp32``, ``tf32`` or ``bf16`` (autocast).
        deterministic: the same run gives the same bits, at some cost in speed on a GPU; a CPU does so anyway.
        graph: a step on a GPU is replayed as a CUDA graph.
        compile: ``on``, ``off``, or ``auto``: where it pays (``vicinal.training.compilation``).
        auto: the precision was left open, and chosen by rule (``vicinal.training.precision``).
    """

    precision: str = "fp32"
    deterministic: bool = False
    graph: bool = True
    compile: str = "off"
    auto: bool = False

    def autocast(self, device: "torch.device") -> AbstractContextManager:
        """Return the context that the networks' forward passes run in."""
        import torch

        if self.precision != "bf16":
            return nullcontext()
        # Without autocast's cache of rounded weights: a CUDA graph would keep those of its capture.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def resumed(self, precision: str | None, device: "torch.device") -> "Numerics":
        """Return the numerics that go on with a training in ``precision``: the same, unless the user chose another."""
        if not self.auto or precision is None or (precision == "tf32" and device.type != "cuda"):
            return self
        allow_tf32(precision == "tf32")
        return replace(self, precision=precision)

    def freeze(self, model: "torch.nn.Module") -> "torch.nn.Module":
        """Freeze a network, in evaluation mode, its batch normalisation folded into its convolutions; return it.

        Under bf16 its weights are rounded once, here; autocast would round them in every step. On a GPU the
        network that is returned has fused convolutions too (``vicinal.training.fused``).
        """
        import torch

        from vicinal.training.folding import fold_batch_norm

        fold_batch_norm(model.eval()).requires_grad_(False)
        if self.precision == "bf16":
            for module in model.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                    module.to(torch.bfloat16)
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())
        if on_gpu and self.precision == "bf16" and not self.deterministic:
            from vicinal.training.fused import fuse

            return fuse(model)
        return model


def add_numerics_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--precision``, ``--deterministic``, ``--compile`` and ``--no-graph`` to a script's arguments."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto: bf16 on a GPU that has it, and on a CPU where the network gains; else fp32",
    )
    parser.add_argument("--deterministic", action="store_true", help="the same bits in every run, also on a GPU")
    parser.add_argument(
        "--compile", choices=COMPILE, default="auto", help="networks by torch.compile; auto: on a GPU, where it pays"
    )
    parser.add_argument("--no-graph", action="store_true", help="launch a GPU's kernels one by one, to find an error")


def numerics_options(execution: Any) -> list[str]:
    """Return the ``execution`` of a config as arguments of ``add_numerics_arguments``."""
    options = ["--precision", execution.precision, "--compile", execution.compile]
    return [*options, "--deterministic"] if execution.deterministic else options


def select_numerics(
    args: argparse.Namespace, device: "torch.device", cost: Callable[[], "Cost"] | None = None
) -> Numerics:
    """Return the numerics that the arguments ask for, and set torch's switches for this process.

    Args:
        args: see ``add_numerics_arguments``.
        device: where to compute.
        cost: of the network that is trained, for the precision ``auto``: see ``vicinal.training.precision``.

    Raises:
        VicinalError: the device does not have that precision.
    """
    import torch

    from vicinal.training.precision import auto_precision

    on_gpu = device.type == "cuda"
    auto = args.precision == "auto"
    precision = auto_precision(device, cost) if auto else args.precision
    if precision == "tf32" and not on_gpu:
        raise VicinalError(f"--precision tf32: {device} has none; use fp32 or bf16")
    allow_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = on_gpu and not args.deterministic
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no step reads any, and it is a kernel a tensor
    # What is compiled depends on measured times, which differ from run to run.
    chosen = "off" if args.compile == "auto" and (args.deterministic or not on_gpu) else args.compile
    if chosen != "off":
        # For later jobs too: torch's own folder, below /tmp, may be removed with the job.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        os.environ.setdefault(COMPILED, str(cache / "vicinal" / "compiled"))
    return Numerics(precision, args.deterministic, graph=not args.no_graph, compile=chosen, auto=auto)


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid tf32 in matrix products and convolutions on a GPU; torch allows it in convolutions by default."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
