"""Build a data store from a source."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vicinal import files
from vicinal.data import catalogue, sources
from vicinal.data.equal_images import digest, equal_images, equality_notes
from vicinal.data.open import open_store
from vicinal.data.scratch import FOLDER, locked, publish
from vicinal.data.split import hold_out_test, make_splits, positions_by_split
from vicinal.data.statistics import channel_statistics, constant_notes
from vicinal.data.store import CONTENT, FORMAT, FORMS, PHOTO_FORMAT, SPLITS, DataStore, check_files, read_meta
from vicinal.data.stream import ImageSource
from vicinal.errors import VicinalError, describe, warn
from vicinal.jobs.progress import Progress
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.results import META
from vicinal.spec import PHOTOS

Say = Callable[[str], None]
Splits = Mapping[str, np.ndarray]
# Writes the files of a store into a folder, and returns the splits and the fields of ``meta.json`` that not every store
# has in common; checksums that it knows are in ``files``, and what a user should know, a line each, in ``notes``.
Build = Callable[[Mapping[str, Any], Path, Path, str | None, Say], tuple[dict[str, Any], Splits]]
PROVENANCE = "provenance.json"


def prepare_data(
    spec: Mapping[str, Any],
    root: Path | str,
    directory: Path | str,
    say: Say = lambda line: None,
    code: str | None = None,
) -> DataStore:
    """Build the store of a data spec, of images or of photos, unless it is there already.

    The files get their final names together, ``meta.json`` last, so a folder holds a whole store or none. Other files
    in the folder stay. The code of photos is imported, and part of the fingerprint, only for photos.

    Args:
        spec: ``name``, ``source``, ``files`` and perhaps ``store``, ``image_column``, ``label_column``, ``as_viewed``,
            ``validation``, ``split_seed`` (0), ``limit_train``, ``limit_test``; of photos the fields of ``Packing``.
        code: fingerprint of the code that builds it; a store of other code is built anew.

    Raises:
        VicinalError: a file or a label is wrong, or too many photos cannot be read; see ``sources`` and ``split``.
        OSError: the folder cannot be made; the message names it.
    """
    directory, root, form, build = Path(directory), Path(root), FORMAT, build_images
    if spec.get("store") == PHOTOS:
        form, build = PHOTO_FORMAT, import_module("vicinal.data.photos.prepare").build_photos
    _keep_or_build(spec, root, directory, say, code, form, build)
    return open_store(directory / META)


def _keep_or_build(
    spec: Mapping[str, Any], root: Path, directory: Path, say: Say, code: str | None, form: str, build: Build
) -> None:
    with locked(directory, say):
        if _is_kept(directory, spec, code, say, form):
            return
        watch, work = Stopwatch(), directory / FOLDER
        try:
            meta, splits = build(spec, root, work, code, say)
        except VicinalError:  # not so after a kill or a full disk: then the next run may go on from what is there
            shutil.rmtree(work, ignore_errors=True)
            raise
        known = meta.get("files", {})
        sizes = {name: (work / name).stat().st_size for name in FORMS[form]}
        meta |= {
            "format": form,
            "name": spec["name"],
            "spec": spec,
            "code": code,
            "counts": {name: len(splits[name]) for name in SPLITS},
            "files": {
                name: {"bytes": size, "sha256": known.get(name) or files.sha256(work / name)}
                for name, size in sizes.items()
            },
        }
        meta["sha256"] = content_hash(meta, splits)
        files.write_json(work / META, meta)
        # Apart from meta.json, which is the same for the same data, and before it, which shows that the store is whole.
        files.write_json(work / PROVENANCE, {"spec": spec, "code": code, "provenance": provenance(watch)})
        publish([work / name for name in (*FORMS[form], PROVENANCE, META)], directory)
        shutil.rmtree(work, ignore_errors=True)
        counts = ", ".join(f"{count:,} {name}" for name, count in meta["counts"].items())
        say(f"{directory}: {meta['images']:,} images written ({counts})")
        for note in meta["notes"]:
            warn(f"data set {spec['name']}: {note}")


def _is_kept(directory: Path, spec: Mapping[str, Any], code: str | None, say: Say, form: str) -> bool:
    """Return whether the folder holds a whole store of this form and spec, made by this code."""
    if not (directory / META).is_file():
        return False
    try:
        meta = read_meta(directory / META, form)
        if meta["spec"] != spec or meta["code"] != code:
            say(f"{directory}: of another plan, built anew")
            return False
        check_files(directory, meta, verify=True)
    except VicinalError as error:
        say(f"{describe(error)} (done now)")
        return False
    say(f"{directory}: already there and whole, kept")
    return True


def build_images(
    spec: Mapping[str, Any], root: Path, work: Path, code: str | None, say: Say
) -> tuple[dict[str, Any], Splits]:
    """Write the files of an array store; see ``Build``."""
    sources.verify_files(spec, root)
    shutil.rmtree(work, ignore_errors=True)  # a killed process leaves it
    work.mkdir()
    try:
        with files.naming(work.parent, work):
            return _build(spec, root, work)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _build(spec: Mapping[str, Any], root: Path, work: Path) -> tuple[dict[str, Any], Splits]:
    source = sources.open_source(spec, root)
    labels, origin = _write_images(work / "images.npy", source)
    images = np.load(work / "images.npy", mmap_mode="r")
    np.save(work / "labels.npy", labels)
    given = dict(origin)
    defaults = catalogue.split_defaults(spec["name"], spec["source"])
    seed = spec.get("split_seed", 0)
    if defaults["test"] is not None:
        given["train"], given["test"] = hold_out_test(labels, int(defaults["test"]), seed)
    names = check_classes(labels, given["train"], source.class_names)
    splits = make_splits(
        labels,
        given,
        seed=seed,
        validation=spec.get("validation"),
        limit_train=spec.get("limit_train"),
        limit_test=spec.get("limit_test"),
        subset_seed=spec.get("subset_seed"),
        default_validation=defaults["validation"],
        default_train=defaults["train"],
    )
    origin_split = np.repeat(np.array(list(origin), dtype=object), [len(part) for part in origin.values()])
    row = np.concatenate([np.arange(len(part)) for part in origin.values()])
    columns = {"source_split": origin_split, "source_row": row, "label": labels}
    write_splits(work / "splits.parquet", splits, columns)
    mean, std = channel_statistics(images, splits["train"])
    equal = equal_images(np.array([digest(image.tobytes()) for image in images], dtype=np.uint64), splits)
    return {
        "images": len(labels),
        "image_shape": list(images.shape[1:]),
        "class_names": names,
        "superclass": _superclass(spec, len(names)),
        "equal_to_training": equal,
        "notes": [*source.notes, *equality_notes(equal, splits), *constant_notes(std)],
        "mean": mean.tolist(),
        "std": std.tolist(),
    }, splits


def _write_images(path: Path, source: ImageSource) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Write ``images.npy`` chunk by chunk; return the labels and the positions of each of the source's splits."""
    if empty := [split for split, count in source.counts.items() if not count]:
        raise VicinalError(f"the {empty[0]} split of the source has no image")
    total, done = sum(source.counts.values()), 0
    progress = Progress("images", total, "images")
    labels = np.empty(total, dtype=np.int64)
    with path.open("wb") as file:
        for chunk in source.chunks:
            check_labels(chunk.labels, source.class_names, total, chunk.place)
            if not done:
                header = {"descr": "|u1", "fortran_order": False, "shape": (total, *chunk.images.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            # Written, not mapped: on a full disk a write raises, a mapped page kills the process.
            file.write(np.ascontiguousarray(chunk.images).data)
            labels[done : done + len(chunk.labels)] = chunk.labels
            done += len(chunk.labels)
            progress.update(done)
    return labels, positions_by_split(source.counts)


def check_labels(labels: np.ndarray, names: list[str] | None, total: int, place: Callable[[int], str]) -> None:
    """Raise VicinalError if some labels are not those of classes; ``place`` tells where the one at a position is from.

    Without names no label can be larger than the total number of images.
    """
    high = len(names) - 1 if names else total - 1
    wrong = np.flatnonzero((labels < 0) | (labels > high))
    if len(wrong):
        valid = f"0 to {high}, one of its {len(names)} class names" if names else "0, 1, 2, ... without gaps"
        raise VicinalError(f"{place(int(wrong[0]))}: label {labels[wrong[0]]} is not {valid}")


def check_classes(labels: np.ndarray, train: np.ndarray, names: list[str] | None) -> list[str]:
    """Return the class names, by default numbers. Raises VicinalError: only one, or one without a training image."""
    names = names or [str(label) for label in range(int(labels.max()) + 1)]
    if len(names) < 2:
        raise VicinalError("the data set has only one class: it needs two or more")
    missing = np.flatnonzero(np.bincount(labels[train], minlength=len(names)) == 0)
    if len(missing):
        raise VicinalError(
            f'class {missing[0]} ("{names[missing[0]]}") has no readable image in the train split, as {len(missing)} '
            f"of {len(names)} classes: labels must be numbered without gaps"
        )
    return names


def _superclass(spec: Mapping[str, Any], num_classes: int) -> list[int] | None:
    fine = spec["source"] == "torchvision" or spec.get("label_column") == "fine_label"
    known = spec["name"] == "cifar100" and fine and num_classes == 100
    return list(catalogue.CIFAR100_SUPERCLASS) if known else None


def write_splits(path: Path, splits: Splits, columns: Mapping[str, np.ndarray]) -> None:
    """Write the exact split: for each image that is used its split, its position, and its value in each column."""
    index = np.concatenate([splits[name] for name in SPLITS])
    split = np.repeat(SPLITS, [len(splits[name]) for name in SPLITS])
    table = pa.table({"split": split, "index": index, **{name: column[index] for name, column in columns.items()}})
    pq.write_table(table, path, compression="zstd")


def content_hash(meta: Mapping[str, Any], splits: Splits) -> str:
    """Return one SHA-256 over images (or photos), labels and splits.

    The splits count by content, not by file: the bytes of a Parquet file change with the version of its writer, and all
    results, which record this hash, would seem to be made from other data.
    """
    digest = hashlib.sha256()
    for name in CONTENT[meta["format"]]:
        digest.update(meta["files"][name]["sha256"].encode())
    for name in SPLITS:
        digest.update(f"{name} {len(splits[name])}\n".encode())
        digest.update(splits[name].astype("<i8").tobytes())
    return digest.hexdigest()
