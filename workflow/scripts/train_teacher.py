"""Train one teacher, or take its given weights, unless it is finished already; write its record."""

import argparse
from pathlib import Path

from vicinal.data.open import open_store
from vicinal.errors import run
from vicinal.jobs.fingerprint import named_modules
from vicinal.jobs.interruption import Interruption
from vicinal.jobs.records import is_finished, remove_checkpoints, weights_sha256
from vicinal.jobs.script import checked_plan, job_parser, leased_job, write_output
from vicinal.results import RECORD
from vicinal.spec import is_given
from vicinal.training.job import add_training_arguments, train_by


def main() -> None:
    """Make the teacher."""
    parser = job_parser(__doc__, "teachers", data=True)
    parser.add_argument(
        "--record", type=Path, required=True, help="the teacher's record, to be written; weights beside it"
    )
    parser.add_argument(
        "--weights", type=Path, help="file of weights to start from, or to take as they are, if the plan says so"
    )
    add_training_arguments(parser)
    args = parser.parse_args()
    with Interruption(args.deadline_minutes) as interruption:
        make(args, interruption)


def make(args: argparse.Namespace, interruption: Interruption) -> None:
    """Read the teacher's plan, train it unless it is finished, write the record."""
    plan = checked_plan(args.plan, "teachers", named_modules)
    store = open_store(args.data)
    model = args.record.parent / "model"
    wanted = {"id": plan["id"], "spec": plan["spec"], "code": plan["code"], "data_sha256": store.sha256}
    with leased_job(args.results, plan, interruption.check):
        if is_finished(model / RECORD, wanted):
            print(f"{plan['id']}: finished before", flush=True)
            remove_checkpoints(args.results, plan["id"])
        elif is_given(plan["spec"]):
            from vicinal.training.given_weights import take_weights

            print(f"{plan['id']}: nothing to train: the weights are given ({args.weights})", flush=True)
            take_weights(model, wanted, store, args.weights)
        else:
            train_by(args, plan["id"], {model: wanted}, store, args.record.parent, interruption)
        record = {"id": plan["id"], "weights_sha256": weights_sha256(model), "data_sha256": store.sha256}
        write_output(args.record, record, plan)


if __name__ == "__main__":
    run(main)
