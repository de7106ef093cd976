"""A cohort whose third student finds no room in one of two processes: a script that ``test_parallel.py`` runs.

    python memory_case.py FOLDER

What is trained goes to FOLDER/NAME/students, NAME being a case: ``parts`` (never more than two at once), ``first`` and
``second`` (where the process of that name is short of memory).
"""

import sys
from pathlib import Path

import torch
from small_cohort import RECIPE

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare
from vicinal.interruption import Interruption
from vicinal.models.registry import architecture
from vicinal.numerics import Numerics
from vicinal.processes import Helpers, become_helper, is_helper, wait_for_task
from vicinal.step import CohortStep
from vicinal.training import Job, train_models

CPU = torch.device("cpu")
SHORT_RANK = {"parts": None, "first": 0, "second": 1}
ROOM = 2  # models


def students(folder):
    recipe = {**RECIPE, "epochs": 1, "milestones": []}
    spec = {"model": architecture("resnet8_narrow"), "recipe": recipe, "seed": 3, "loss": {"ce_weight": 1}}
    return {
        folder / "students" / f"student_{k}": {"id": f"student_{k}", "spec": {**spec, "logit_scale": k}, "code": "c"}
        for k in (1, 2, 3)
    }


def train_all(folder, group):
    data = {"name": "digits", **resolve_source("digits", "data"), "validation": 30, "limit_train": 32}
    store, step = prepare(data, "data", folder / f"store{group.rank}"), CohortStep.__call__
    for name, short in SHORT_RANK.items():

        def within_room(self, size, short=short):
            if short == group.rank and len(self.learners) > ROOM:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            step(self, size)

        CohortStep.__call__ = within_room
        with Interruption() as interruption:
            job = Job(name, folder / name, store, CPU, Numerics(), folder, interruption, 1e9, group=group)
            job.cohort_size = ROOM if short is None else None
            train_models(job, students(folder / name))


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    if is_helper(2):
        become_helper()
        group, _ = wait_for_task()
        train_all(folder, group)
        return
    with Helpers(2, "case") as helpers:
        train_all(folder, helpers.start(CPU, [], {}))


if __name__ == "__main__":
    main()
