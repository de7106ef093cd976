"""Measure a teacher and its students of one seed on the published corrupted test images; write records."""

from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.data.corruptions.catalogue import ARCHIVES, NAMES, SEVERITIES
from vicinal.data.store import DataStore
from vicinal.errors import VicinalError, run
from vicinal.evaluation.files import write_measurements
from vicinal.evaluation.robustness import IMAGES, VALUES, measure_robustness
from vicinal.files import read_json
from vicinal.jobs.device import add_device_arguments, job_device
from vicinal.jobs.progress import Progress
from vicinal.jobs.records import manifest_of, models_to_measure
from vicinal.jobs.script import heartbeat_of, job_parser, measurement_plan, write_output
from vicinal.spec import digest

if TYPE_CHECKING:
    import torch


def main() -> None:
    """Read the plan, measure the models that are not measured yet, write the manifest."""
    parser = job_parser(__doc__, "robustness", data=True)
    parser.add_argument(
        "--corruptions", type=Path, required=True, help="record of the corrupted images, from fetch_corruptions.py"
    )
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data, with their archive")
    parser.add_argument("--manifest", type=Path, required=True, help="list of what was measured; records go beside it")
    add_device_arguments(parser)
    args = parser.parse_args()

    plan = measurement_plan(args.plan, "robustness")
    store, source = DataStore(args.data), read_json(args.corruptions)
    if source.get("data_sha256") != store.sha256:
        raise VicinalError(f"{args.corruptions}: of other data than {args.data}; run fetch_corruptions.py again")
    folder = args.manifest.parent
    images = {key: source.get(key) for key in ("available", "file", "md5")} | {"rows": digest(source.get("rows"))}
    wanted, missing = models_to_measure(plan, args.results, folder, {"data_sha256": store.sha256, "images": images})
    if missing and not source.get("available"):
        print(f"{plan['id']}: left out: {source.get('reason')}", flush=True)
        nothing = {VALUES: {}, IMAGES: 0, "reason": source.get("reason")}  # type: ignore[var-annotated]
        write_measurements(folder, missing, wanted, lambda id_: ({}, nothing))
    elif missing:
        with heartbeat_of(args.results, plan):
            archive = find_archive(args.root, source, args.corruptions)
            measure(plan, store, source, archive, missing, wanted, folder, job_device(args, plan["id"]))
    write_output(args.manifest, manifest_of(folder, wanted), plan)


def find_archive(root: Path, source: dict, record: Path) -> Path:
    """Return the archive that the record is of.

    Raises:
        VicinalError: it is gone, or has another size.
    """
    archive = ARCHIVES[source["name"]]
    path = root / archive.file
    if not path.is_file() or path.stat().st_size != archive.size:
        raise VicinalError(
            f"{path}: not there any more, or of another size; put it back, or delete {record} and run again"
        )
    return path


def measure(
    plan: dict,
    store: DataStore,
    source: dict,
    archive: Path,
    places: dict[str, Path],
    wanted: dict[str, dict],
    folder: Path,
    device: "torch.device",
) -> None:
    """Measure the models in ``places`` and write each one's record into ``folder``/ID."""
    import numpy as np
    import torch

    from vicinal.data.corruptions.arrays import open_corrupted
    from vicinal.evaluation.probe import image_logits
    from vicinal.training.inputs import Images, window_of
    from vicinal.training.numerics import allow_tf32
    from vicinal.training.weights import trained_network

    allow_tf32(False)
    test = Images(store, "test", device)
    corrupted = open_corrupted(archive, ARCHIVES[source["name"]].folder)
    rows, labels = np.array(source["rows"], dtype=np.int64), test.labels.cpu().numpy()
    progress = Progress(plan["id"], len(places) * len(NAMES) * len(SEVERITIES), "sets of images")
    done = count(1)

    def logits(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
        test.images = torch.from_numpy(images).to(device)
        return image_logits(model, test)

    def metrics(id_: str) -> tuple[dict, dict]:
        unit = wanted[id_]["spec"]["unit"]
        test.window = window_of(unit["recipe"])
        model = trained_network(places[id_], unit, test)
        found = measure_robustness(
            partial(logits, model), corrupted.images, rows, labels, lambda: progress.update(next(done))
        )
        return {}, {VALUES: found, IMAGES: len(labels)}

    write_measurements(folder, places, wanted, metrics, device)


if __name__ == "__main__":
    run(main)
