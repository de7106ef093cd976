"""Train the unfinished students of one cohort, and list all students in a manifest."""

import argparse
from pathlib import Path

from vicinal.data.open import open_store
from vicinal.errors import run
from vicinal.jobs.device import whole_number
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint
from vicinal.jobs.interruption import Interruption
from vicinal.jobs.plan import check_code, read_plan
from vicinal.jobs.records import is_finished, remove_checkpoints, weights_sha256
from vicinal.jobs.script import job_parser, leased_job, write_output
from vicinal.results import RECORD, model_folder
from vicinal.training.job import add_training_arguments, train_by
from vicinal.words import count


def main() -> None:
    """Make the cohort."""
    parser = job_parser(__doc__, "cohorts", data=True)
    parser.add_argument("--teacher", type=Path, help="record of the teacher (results/teachers/ID/teacher.json), if any")
    parser.add_argument("--manifest", type=Path, required=True, help="the list of finished students, to be written")
    parser.add_argument("--weights", type=Path, help="file of published weights to start from, if the plan says so")
    parser.add_argument(
        "--cohort-size", type=whole_number, metavar="N", help="students trained at once, at most (default: all)"
    )
    add_training_arguments(parser)
    args = parser.parse_args()
    with Interruption(args.deadline_minutes) as interruption:
        make(args, interruption)


def make(args: argparse.Namespace, interruption: Interruption) -> None:
    """Read the cohort's plan, train the missing students, write the manifest."""
    plan = read_plan(args.plan, "cohorts")
    store = open_store(args.data)
    teacher = args.teacher.parent / "model" if args.teacher else None
    shared = {"data_sha256": store.sha256, "teacher_sha256": weights_sha256(teacher) if teacher else None}
    wanted = {}
    for id_, student in plan["students"].items():
        spec = {**plan["spec"], **student["own"]}
        check_code(plan, student["code"], stage_fingerprint("cohorts", named_modules(spec)))
        folder = model_folder(args.results, "student", id_)
        wanted[folder] = {"id": id_, "spec": spec, "code": student["code"], **shared}
    with leased_job(args.results, plan, interruption.check):
        missing = {path: record for path, record in wanted.items() if not is_finished(path / RECORD, record)}
        left = count(len(missing), "student")
        print(f"{plan['id']}: {left} to train, {len(wanted) - len(missing)} finished before", flush=True)
        if missing:
            train_by(
                args, plan["id"], missing, store, args.manifest.parent, interruption, cohort_size=args.cohort_size,
                teacher=(teacher, plan["spec"]["teacher"]) if teacher else None,
            )  # fmt: skip
        else:
            remove_checkpoints(args.results, plan["id"])
        students = {path.name: weights_sha256(path) for path in wanted}
        write_output(args.manifest, {"students": students, **shared}, plan)


if __name__ == "__main__":
    run(main)
