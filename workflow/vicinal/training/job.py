"""What the scripts that train teachers and cohorts share: their arguments, and a training by them. Without torch."""

import argparse
from pathlib import Path
from typing import Any

from vicinal.data.store import DataStore
from vicinal.jobs.device import add_device_arguments, job_device
from vicinal.jobs.interruption import Interruption, add_interruption_arguments
from vicinal.training.numerics import add_numerics_arguments, select_numerics


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments on device, numerics and interruption to a script's."""
    add_device_arguments(parser)
    add_numerics_arguments(parser)
    add_interruption_arguments(parser)


def train_by(
    args: argparse.Namespace,
    unit: str,
    wanted: dict[Path, dict[str, Any]],
    store: DataStore,
    folder: Path,
    interruption: Interruption,
    **more: Any,
) -> None:
    """Train models as a script's arguments say; see ``train_models``.

    Args:
        args: with those of ``add_training_arguments``, ``results`` and ``weights``.
        unit: id of the cohort or teacher.
        wanted: directory of each model → what its record must say.
        store: the data.
        folder: of the cohort or teacher.
        interruption: says when to stop before the end.
        more: other fields of ``TrainingJob``.

    Raises:
        VicinalError, SystemExit: see ``train_models``.
    """
    device, spec = job_device(args, unit), next(iter(wanted.values()))["spec"]
    # After the device, whose choice imports torch in the quick way.
    from vicinal.training.cohort import TrainingJob, train_models
    from vicinal.training.precision import network_cost

    job = TrainingJob(
        unit=unit,
        results=args.results,
        store=store,
        device=device,
        numerics=select_numerics(args, device, lambda: network_cost(spec, store, args.results)),
        interruption=interruption,
        checkpoint_seconds=args.checkpoint_seconds,
        diverged=folder / "diverged",
        weights=args.weights,
        **more,
    )
    train_models(job, wanted)
