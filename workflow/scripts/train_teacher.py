#!/usr/bin/env python
"""Train one teacher, or take the weights that it is given, unless it is finished already, and write its record."""

import argparse
from functools import partial
from pathlib import Path

from vicinal.device import add_device_arguments, select_device
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
from vicinal.spec import is_given


def main() -> None:
    """Make the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--plan", type=Path, required=True, help="plan file of the teacher (results/plan/teachers/ID.json)"
    )
    parser.add_argument("--data", type=Path, required=True, help="record of the data store (results/data/ID/data.json)")
    parser.add_argument(
        "--record", type=Path, required=True, help="the teacher's record, to be written; weights beside it"
    )
    parser.add_argument(
        "--weights", type=Path, help="file of the weights to start from, or to take as they are, if the plan says so"
    )
    add_device_arguments(parser)
    add_processes_argument(parser)
    add_numerics_arguments(parser)
    add_interruption_arguments(parser)
    args = parser.parse_args()
    if is_helper(args.gpus_per_job):
        from vicinal.helping import help_training

        help_training(args)
        return
    with Interruption(args.deadline_minutes) as interruption:
        make(args, interruption)


def make(args: argparse.Namespace, interruption: Interruption) -> None:
    """Read the teacher's plan, train it if need be, write the record."""
    plan = read_plan(args.plan, "teachers")
    check_code(plan, plan["code"], stage_fingerprint("teachers", named_modules(plan["spec"])))
    store = open_store(args.data)
    model = args.record.parent / "model"
    wanted = {"id": plan["id"], "spec": plan["spec"], "code": plan["code"], "data_sha256": store.sha256}

    results = args.record.parent.parent.parent
    waiting = partial(interruption.check, plan["id"])
    with (
        lease(results, plan["id"], waiting),
        Heartbeat(results, plan["stage"], plan["id"]) as heartbeat,
        Helpers(args.gpus_per_job, plan["id"]) as helpers,
    ):
        if is_finished(model / RECORD, wanted):
            print(f"{plan['id']}: finished before", flush=True)
            remove_checkpoints(results, plan["id"])
        elif is_given(plan["spec"]):
            from vicinal.models.given import take_weights

            print(f"{plan['id']}: nothing to train: the weights are given ({args.weights})", flush=True)
            take_weights(model, wanted, store, args.weights)
        else:
            from vicinal.helping import train_together
            from vicinal.training import Job

            device = select_device(args.device, args.threads, args.gpu_slots, plan["id"], args.gpus_per_job)
            heartbeat.update(device=str(device))
            bad = args.record.parent / "diverged"
            numerics = select_numerics(args, device)
            seconds, weights = args.checkpoint_seconds, args.weights
            job = Job(plan["id"], results, store, device, numerics, bad, interruption, seconds, weights=weights)
            train_together(helpers, job, {model: wanted})
        write_json(
            args.record, {"id": plan["id"], "weights_sha256": weights_sha256(model), "data_sha256": store.sha256}
        )
        record_key(args.record, plan)


if __name__ == "__main__":
    run(main)
