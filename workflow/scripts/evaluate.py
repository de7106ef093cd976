"""Measure a teacher, or all students of a cohort, on clean images and on vicinal pairs; write Parquet tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.data.open import open_store
from vicinal.data.store import DataStore
from vicinal.errors import run
from vicinal.jobs.device import add_device_arguments, job_device
from vicinal.jobs.fingerprint import named_modules
from vicinal.jobs.progress import Progress
from vicinal.jobs.records import manifest_of, models_to_measure, weights_sha256
from vicinal.jobs.script import checked_plan, heartbeat_of, job_parser, write_output

if TYPE_CHECKING:
    import torch

    from vicinal.evaluation.probe import Logits


def main() -> None:
    """Read the plan, measure the models that are not measured yet, write the manifest."""
    parser = job_parser(__doc__, "evaluations", data=True)
    parser.add_argument(
        "--teacher", type=Path, help="record of the measured teacher, or of the teacher of the measured students"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="list of what was measured; tables go beside it")
    add_device_arguments(parser)
    args = parser.parse_args()

    plan = checked_plan(args.plan, "evaluations", lambda spec: named_modules(spec["unit"]))
    store = open_store(args.data)
    teacher = args.teacher.parent / "model" if args.teacher else None
    folder = args.manifest.parent
    made_from = {"data_sha256": store.sha256, "teacher_sha256": weights_sha256(teacher) if teacher else None}
    wanted, missing = models_to_measure(plan, args.results, folder, made_from)
    if missing:
        with heartbeat_of(args.results, plan):
            measure(plan, store, teacher, missing, wanted, folder, job_device(args, plan["id"]))
    write_output(args.manifest, manifest_of(folder, wanted), plan)


def measure(
    plan: dict,
    store: DataStore,
    teacher: Path | None,
    places: dict[str, Path],
    wanted: dict[str, dict],
    folder: Path,
    device: "torch.device",
) -> None:
    """Measure the models in ``places`` and write each one's tables into ``folder``/ID."""
    from vicinal.evaluation.files import table_files, write_measurements
    from vicinal.evaluation.probe import make_probe, mean_entropy, model_tables, probe_logits
    from vicinal.training.inputs import open_images
    from vicinal.training.numerics import allow_tf32
    from vicinal.training.weights import trained_network

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
