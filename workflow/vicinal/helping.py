"""A training in several processes: what the first one does more than ``train_models``, and what the others do."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch

from vicinal.device import leased_gpus, take_gpu_of_rank
from vicinal.interruption import Interruption
from vicinal.numerics import select_numerics
from vicinal.opening import open_store
from vicinal.parallel import leave
from vicinal.processes import LEADER, Helpers, become_helper, wait_for_task
from vicinal.training import Job, train_models

# A process that has lost the first one is ended within this time, without a word.
LOST_SECONDS = 3.0


def train_together(helpers: Helpers, job: Job, wanted: dict[Path, dict[str, Any]]) -> None:
    """Train models as ``train_models`` does, with helpers, if the job has any.

    Raises:
        VicinalError: see ``train_models``; or a helper died.
        SystemExit: see ``train_models``.
    """
    task = {
        "unit": job.unit,
        "results": str(job.results),
        "teacher": [str(job.teacher[0]), job.teacher[1]] if job.teacher else None,
        "weights": str(job.weights) if job.weights else None,
        "cohort_size": job.cohort_size,
        "wanted": {str(path): record for path, record in wanted.items()},
    }
    job.group = helpers.start(job.device, leased_gpus(), task)
    if not job.group.is_one:
        kind = "without CUDA graphs and compilation" if job.device.type == "cuda" else "on the CPU"
        print(f"{job.unit}: {job.group.size} processes share each batch, {kind}", flush=True)
    train_models(job, wanted)


def help_training(args: argparse.Namespace) -> None:
    """Take part, to its end, in the training that the first process of this job leads.

    Args:
        args: of the script, the same for all processes: ``data``, ``threads`` and those of ``add_numerics_arguments``.
    """
    become_helper()
    group, task = wait_for_task()
    if task is None:
        leave()
        return
    torch.set_num_threads(args.threads)
    device = torch.device(task["device"])
    if device.type == "cuda" and LEADER not in os.environ:
        take_gpu_of_rank()
    group.compute_on(device)
    folder = Path(task["results"])
    job = Job(
        task["unit"],
        folder,
        open_store(args.data),
        device,
        select_numerics(args, device),
        bad_folder=folder,
        interruption=Interruption(),
        checkpoint_seconds=args.checkpoint_seconds,
        teacher=(Path(task["teacher"][0]), task["teacher"][1]) if task["teacher"] else None,
        cohort_size=task["cohort_size"],
        weights=Path(task["weights"]) if task["weights"] else None,
        group=group,
    )
    try:
        train_models(job, {Path(path): record for path, record in task["wanted"].items()})
    except RuntimeError:
        # Most likely a connection that broke as another process ended, whose message is the one that counts.
        time.sleep(LOST_SECONDS)
        raise
    leave()
