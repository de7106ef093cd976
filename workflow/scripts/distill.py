#!/usr/bin/env python
"""Train the students of one cohort that are not finished yet, and list all of them in a manifest."""

import argparse
from functools import partial
from pathlib import Path

from vicinal.device import add_device_arguments, select_device, whole_number
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.fingerprint import named_modules, stage_fingerprint
from vicinal.heartbeat import Heartbeat
from vicinal.interruption import Interruption, add_interruption_arguments
from vicinal.lease import lease
from vicinal.numerics import add_numerics_arguments, select_numerics
from vicinal.opening import open_store
from vicinal.plan import check_code, read_plan, record_key
from vicinal.processes import Helpers, add_processes_argument, is_helper
from vicinal.records import is_finished, remove_checkpoints, weights_sha256
from vicinal.results import RECORD


def main() -> None:
    """Make the cohort."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--plan", type=Path, required=True, help="plan file of the cohort (results/plan/cohorts/ID.json)"
    )
    parser.add_argument("--data", type=Path, required=True, help="record of the data store (results/data/ID/data.json)")
    parser.add_argument("--teacher", type=Path, help="record of the teacher (results/teachers/ID/teacher.json), if any")
    parser.add_argument("--manifest", type=Path, required=True, help="the list of finished students, to be written")
    parser.add_argument("--students", type=Path, required=True, help="folder of all students' directories")
    parser.add_argument("--weights", type=Path, help="file of the published weights to start from, if the plan says so")
    add_device_arguments(parser)
    add_processes_argument(parser)
    add_numerics_arguments(parser)
    parser.add_argument(
        "--cohort-size", type=whole_number, metavar="N", help="students trained at once, at most (default: all)"
    )
    add_interruption_arguments(parser)
    args = parser.parse_args()
    if is_helper(args.gpus_per_job):
        from vicinal.helping import help_training

        help_training(args)
        return
    with Interruption(args.deadline_minutes) as interruption:
        make(args, interruption)


def make(args: argparse.Namespace, interruption: Interruption) -> None:
    """Read the cohort's plan, train what is missing, write the manifest."""
    plan = read_plan(args.plan, "cohorts")
    store = open_store(args.data)
    teacher = args.teacher.parent / "model" if args.teacher else None
    shared = {"data_sha256": store.sha256, "teacher_sha256": weights_sha256(teacher) if teacher else None}
    wanted = {}
    for id_, student in plan["students"].items():
        spec = {**plan["spec"], **student["own"]}
        check_code(plan, student["code"], stage_fingerprint("cohorts", named_modules(spec)))
        wanted[args.students / id_] = {"id": id_, "spec": spec, "code": student["code"], **shared}

    results = args.students.parent
    waiting = partial(interruption.check, plan["id"])
    with (
        lease(results, plan["id"], waiting),
        Heartbeat(results, plan["stage"], plan["id"]) as heartbeat,
        Helpers(args.gpus_per_job, plan["id"]) as helpers,
    ):
        missing = {path: record for path, record in wanted.items() if not is_finished(path / RECORD, record)}
        print(
            f"{plan['id']}: {len(missing)} students to train, {len(wanted) - len(missing)} finished before", flush=True
        )
        if missing:
            from vicinal.helping import train_together
            from vicinal.training import Job

            device = select_device(args.device, args.threads, args.gpu_slots, plan["id"], args.gpus_per_job)
            heartbeat.update(device=str(device))
            bad = args.manifest.parent / "diverged"
            job = Job(
                plan["id"],
                results,
                store,
                device,
                select_numerics(args, device),
                bad,
                interruption,
                args.checkpoint_seconds,
                teacher=(teacher, plan["spec"]["teacher"]) if teacher else None,
                cohort_size=args.cohort_size,
                weights=args.weights,
            )
            train_together(helpers, job, missing)
        else:
            remove_checkpoints(results, plan["id"])
        write_json(args.manifest, {"students": {path.name: weights_sha256(path) for path in wanted}, **shared})
        record_key(args.manifest, plan)


if __name__ == "__main__":
    run(main)
