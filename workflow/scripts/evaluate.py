#!/usr/bin/env python
"""Measure a teacher, or all students of a cohort, on clean images and on vicinal pairs; write Parquet tables."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.data.store import Store
from vicinal.device import add_device_arguments, select_device
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.fingerprint import named_modules, stage_fingerprint
from vicinal.heartbeat import Heartbeat
from vicinal.opening import open_images, open_store
from vicinal.plan import check_code, read_plan, record_key
from vicinal.progress import Progress
from vicinal.records import is_finished, manifest_of, weights_sha256
from vicinal.results import EVALUATION

if TYPE_CHECKING:
    import torch

    from vicinal.measure import Logits


def main() -> None:
    """Read the plan, measure what was not measured before, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True, help="plan file (results/plan/evaluations/ID.json)")
    parser.add_argument("--data", type=Path, required=True, help="record of the data store (results/data/ID/data.json)")
    parser.add_argument(
        "--teacher", type=Path, help="record of the teacher that is measured, or of the cohort's teacher"
    )
    parser.add_argument("--students", type=Path, help="folder of all students' directories, to measure a cohort")
    parser.add_argument("--manifest", type=Path, required=True, help="list of what was measured; tables go beside it")
    add_device_arguments(parser)
    args = parser.parse_args()

    plan = read_plan(args.plan, "evaluations")
    unit = plan["spec"]["unit"]
    check_code(plan, plan["code"], stage_fingerprint("evaluations", named_modules(unit)))
    store = open_store(args.data)
    teacher = args.teacher.parent / "model" if args.teacher else None
    places = {id_: args.students / id_ if args.students else teacher for id_ in plan["models"]}
    shared = {
        "spec": plan["spec"],
        "code": plan["code"],
        "data_sha256": store.sha256,
        "teacher_sha256": weights_sha256(teacher) if teacher else None,
    }
    wanted = {id_: {"id": id_, "weights_sha256": weights_sha256(place), **shared} for id_, place in places.items()}
    folder = args.manifest.parent
    missing = [id_ for id_, record in wanted.items() if not is_finished(folder / id_ / EVALUATION, record)]
    print(f"{plan['id']}: {len(missing)} models to measure, {len(wanted) - len(missing)} measured before", flush=True)
    if missing:
        with Heartbeat(folder.parent.parent, plan["stage"], plan["id"]) as heartbeat:
            device = select_device(args.device, args.threads, args.gpu_slots, plan["id"])
            heartbeat.update(device=str(device))
            measure(plan, store, teacher, {id_: places[id_] for id_ in missing}, wanted, folder, device)
    write_json(args.manifest, manifest_of(folder, wanted))
    record_key(args.manifest, plan)


def measure(
    plan: dict,
    store: Store,
    teacher: Path | None,
    places: dict[str, Path],
    wanted: dict[str, dict],
    folder: Path,
    device: "torch.device",
) -> None:
    """Measure the models in ``places`` and write each one's tables into ``folder``/ID."""
    from vicinal.measure import make_probe, mean_entropy, model_tables, probe_logits, trained_network
    from vicinal.measurements import table_files, write_measurements
    from vicinal.numerics import allow_tf32

    unit = plan["spec"]["unit"]
    allow_tf32(False)
    data = {split: open_images(store, split, device, unit["recipe"]) for split in store.splits}
    probe = make_probe(data, plan["spec"]["pairs"], plan["spec"]["pair_seed"])

    def logits(place: Path, spec: dict) -> "Logits":
        return probe_logits(trained_network(place, spec, data["train"]), probe)

    is_student = unit["stage"] == "student"
    answers = logits(teacher, unit["teacher"] if is_student else unit) if teacher else None
    target = mean_entropy(answers) if answers else None
    progress = Progress(plan["id"], len(places), "models")

    def tables(place: Path) -> tuple[dict, dict]:
        own, fidelity = (logits(place, unit), answers) if is_student else (answers, None)
        found = table_files(model_tables(own, probe, fidelity, target, is_teacher=not is_student))
        return found, {}

    write_measurements(folder, places, wanted, tables, device, progress.update)


if __name__ == "__main__":
    run(main)
