"""Measure a teacher and students of one seed on clean images and on vicinal pairs; write Parquet tables."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.data.open import open_store
from vicinal.data.store import DataStore
from vicinal.errors import run
from vicinal.jobs.device import add_device_arguments, job_device
from vicinal.jobs.progress import Progress
from vicinal.jobs.records import manifest_of, models_to_measure, weights_sha256
from vicinal.jobs.script import heartbeat_of, job_parser, measurement_plan, write_output

if TYPE_CHECKING:
    import torch

    from vicinal.evaluation.probe import Logits, Probe


def main() -> None:
    """Read the plan, measure the models that are not measured yet, write the manifest."""
    parser = job_parser(__doc__, "evaluations", data=True)
    parser.add_argument(
        "--teacher", type=Path, help="record of the teacher that is measured, or that the students are compared with"
    )
    parser.add_argument(
        "--ood", type=Path, nargs="*", default=[], help="records of other data sets, whose test images are told apart"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="list of what was measured; tables go beside it")
    add_device_arguments(parser)
    args = parser.parse_args()

    plan = measurement_plan(args.plan, "evaluations")
    store, others = open_store(args.data), [open_store(path) for path in args.ood]
    teacher = args.teacher.parent / "model" if args.teacher else None
    folder = args.manifest.parent
    made_from = {"data_sha256": store.sha256, "teacher_sha256": weights_sha256(teacher) if teacher else None}
    if others:
        made_from["ood_sha256"] = {other.meta["name"]: other.sha256 for other in others}  # type: ignore[assignment]
    wanted, missing = models_to_measure(plan, args.results, folder, made_from)
    if missing:
        with heartbeat_of(args.results, plan):
            measure(plan, store, others, teacher, missing, wanted, folder, job_device(args, plan["id"]))
    write_output(args.manifest, manifest_of(folder, wanted), plan)


def measure(
    plan: dict,
    store: DataStore,
    others: list[DataStore],
    teacher: Path | None,
    places: dict[str, Path],
    wanted: dict[str, dict],
    folder: Path,
    device: "torch.device",
) -> None:
    """Measure the models in ``places`` and write each one's tables into ``folder``/ID."""
    from vicinal.evaluation.files import table_files, write_measurements
    from vicinal.evaluation.probe import make_probe, mean_entropy, model_tables, other_images, probe_logits
    from vicinal.training.numerics import allow_tf32
    from vicinal.training.open import open_images
    from vicinal.training.weights import trained_network

    allow_tf32(False)
    settings = plan["spec"]["evaluation"]

    @cache
    def probe_of(size: tuple[int | None, int | None]) -> tuple["Probe", "Logits | None"]:
        """Return the inputs in a size, and the teacher's logits on them."""
        recipe = dict(zip(("resize", "crop"), size, strict=True))
        data = {split: open_images(store, split, device, recipe) for split in store.splits}
        ood = {other.meta["name"]: other_images(other, data["test"], recipe) for other in others}
        probe = make_probe(data, settings["pairs"], settings["pair_seed"], ood)
        return probe, logits(teacher, plan["spec"]["teacher"], probe) if teacher else None

    def logits(place: Path, spec: dict, probe: "Probe") -> "Logits":
        return probe_logits(trained_network(place, spec, probe.data["train"]), probe)

    units = {id_: wanted[id_]["spec"]["unit"] for id_ in places}
    sizes = {id_: (unit["recipe"].get("resize"), unit["recipe"].get("crop")) for id_, unit in units.items()}
    for size in sizes.values():  # before the clock of the first model starts
        probe_of(size)

    def tables(id_: str) -> tuple[dict, dict]:
        unit, (probe, answers) = units[id_], probe_of(sizes[id_])
        target = mean_entropy(answers) if answers else None
        is_teacher = unit["stage"] == "teacher"
        own, fidelity = (answers, None) if is_teacher else (logits(places[id_], unit, probe), answers)
        return table_files(model_tables(own, probe, fidelity, target, is_teacher=is_teacher)), {}  # type: ignore[arg-type]

    progress = Progress(plan["id"], len(places), "models")
    write_measurements(folder, places, wanted, tables, device, progress.update)


if __name__ == "__main__":
    run(main)
