#!/usr/bin/env python
"""Measure a teacher, or all students of a cohort, on clean images and on vicinal pairs; write Parquet tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.data.store import Store
from vicinal.device import add_device_arguments, job_device
from vicinal.errors import run
from vicinal.fingerprint import named_modules
from vicinal.opening import open_images, open_store
from vicinal.progress import Progress
from vicinal.provenance import Stopwatch, provenance
from vicinal.records import EVALUATION, is_finished, measured_models, model_folder, weights_sha256, write_measurement
from vicinal.script import checked_plan, heartbeat_of, job_parser, write_output

if TYPE_CHECKING:
    import torch


def main() -> None:
    """Read the plan, measure what was not measured before, write the manifest."""
    parser = job_parser(__doc__, "evaluations", data=True)
    parser.add_argument(
        "--teacher", type=Path, help="record of the teacher that is measured, or of the cohort's teacher"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="list of what was measured; tables go beside it")
    add_device_arguments(parser)
    args = parser.parse_args()

    plan = checked_plan(args.plan, "evaluations", lambda spec: named_modules(spec["unit"]))
    store = open_store(args.data)
    teacher = args.teacher.parent / "model" if args.teacher else None
    places = {id_: model_folder(args.results, plan["spec"]["unit"]["stage"], id_) for id_ in plan["models"]}
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
        with heartbeat_of(args.results, plan):
            device = job_device(args, plan["id"])
            measure(plan, store, teacher, {id_: places[id_] for id_ in missing}, wanted, folder, device)
    write_output(args.manifest, measured_models(folder, wanted), plan)


def measure(
    plan: dict,
    store: Store,
    teacher: Path | None,
    places: dict[str, Path],
    wanted: dict[str, dict],
    folder: Path,
    device: "torch.device",
) -> None:
    """Measure the models in ``places`` and write each one's tables into ``folder``/ID, all or nothing."""
    from vicinal.inputs import adapt, to_device
    from vicinal.measure import make_probe, mean_entropy, model_tables, probe_logits
    from vicinal.model_tables import table_files
    from vicinal.models import build_model
    from vicinal.numerics import allow_tf32
    from vicinal.weights import load_weights

    unit = plan["spec"]["unit"]
    allow_tf32(False)
    data = {split: open_images(store, split, device, unit["recipe"]) for split in store.splits}
    probe = make_probe(data, plan["spec"]["pairs"], plan["spec"]["pair_seed"])

    def logits(place: Path, spec: dict):
        model = build_model(spec["model"], store.num_classes, data["train"].channels)
        load_weights(place, model)
        return probe_logits(to_device(adapt(model, spec, data["train"]), device), probe)

    is_student = unit["stage"] == "student"
    answers = logits(teacher, unit["teacher"] if is_student else unit) if teacher else None
    progress = Progress(plan["id"], len(places), "models")
    for done, (id_, place) in enumerate(places.items(), start=1):
        watch = Stopwatch()
        own = logits(place, unit) if is_student else answers
        fidelity = answers if is_student else None
        target = mean_entropy(answers) if answers else None
        tables = model_tables(own, probe, fidelity, target, is_teacher=not is_student)
        record = {**wanted[id_], "provenance": provenance(watch, device)}
        write_measurement(folder / id_, table_files(tables), record, place)
        progress.update(done)


if __name__ == "__main__":
    run(main)
