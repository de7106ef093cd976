"""Build an array store from a source."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vicinal import files
from vicinal.data import catalogue, sources
from vicinal.data.scratch import clear, naming, publish, workplace
from vicinal.data.split import hold_out_test, make_splits
from vicinal.data.statistics import channel_statistics
from vicinal.data.store import CONTENT, FILES, FORMAT, FORMS, META, SPLITS, Store, check_files, read_meta
from vicinal.data.stream import Batch, Source
from vicinal.errors import VicinalError, describe
from vicinal.jobs.progress import Progress
from vicinal.jobs.provenance import Stopwatch, provenance

Say = Callable[[str], None]


def prepare(
    spec: Mapping[str, Any],
    root: Path | str,
    directory: Path | str,
    progress: Say | None = None,
    code: str | None = None,
) -> Store:
    """Build the store of a data spec, or keep the one that is there if it is the same.

    The files take their final names together, ``meta.json`` last, so a folder is a whole store or
    none. What killed processes left of theirs is removed; other files in the folder are left alone.

    Args:
        spec: ``name``, ``source``, ``files`` and perhaps ``image_column``, ``label_column``,
            ``validation``, ``split_seed`` (0), ``limit_train``, ``limit_test``.
        root: the folder of all data.
        directory: where the store belongs.
        progress: takes lines that say what is going on; None also silences the progress on standard error.
        code: fingerprint of the code that builds it: a store of other code is built anew.

    Raises:
        VicinalError: see ``sources`` and ``split``; also for labels that are not 0, 1, 2, ...
        OSError: the folder cannot be made; the message names it.
    """
    say = progress or _silent
    directory = Path(directory)
    spec = {key: value for key, value in spec.items() if value is not None}
    for field in ("name", "source", "files"):
        if field not in spec:
            raise VicinalError(f"data.{field}: missing in the data spec")
    clear(directory, say)
    if is_kept(directory, spec, code, say):
        return Store(directory)
    sources.verify_files(spec, root)
    directory.mkdir(parents=True, exist_ok=True)
    _build(spec, Path(root), directory, say, code)
    return Store(directory)


def _silent(line: str) -> None:
    """Say nothing."""


def is_kept(directory: Path, spec: Mapping[str, Any], code: str | None, say: Say, form: str = FORMAT) -> bool:
    """Return whether the folder holds a whole store of this form and spec, made by this code."""
    if not (directory / META).is_file():
        return False
    try:
        meta = read_meta(directory / META, form)
        if meta["spec"] != spec or meta["code"] != code:
            say(f"{directory}: of another plan, built anew")
            return False
        check_files(directory, meta, verify=True, names=FORMS[form])
    except VicinalError as error:
        say(f"{describe(error)} (done now)")
        return False
    say(f"{directory}: already there and whole, kept")
    return True


def _build(spec: dict[str, Any], root: Path, directory: Path, say: Say, code: str | None) -> None:
    watch = Stopwatch()
    with workplace(directory) as work:
        paths = {name: work / name for name in (*FILES, META)}
        source = sources.open_source(spec, root)
        with naming(paths["images.npy"]) as path:
            labels, origin = _write_images(path, source, say is not _silent)
        images = np.load(paths["images.npy"], mmap_mode="r")
        with naming(paths["labels.npy"]) as path:
            np.save(path, labels)
        names, given = _class_names(labels, source), dict(origin)
        defaults = catalogue.split_defaults(spec["name"], spec["source"])
        seed = spec.get("split_seed", 0)
        if defaults["test"] is not None:
            given["train"], given["test"] = hold_out_test(labels, int(defaults["test"]), seed)
        _check_classes(labels[given["train"]], names)
        splits = make_splits(
            labels,
            given,
            seed=seed,
            validation=spec.get("validation"),
            limit_train=spec.get("limit_train"),
            limit_test=spec.get("limit_test"),
            default_validation=defaults["validation"],
            default_train=defaults["train"],
        )
        with naming(paths["splits.parquet"]) as path:
            _write_splits(path, splits, origin, labels)
        mean, std = channel_statistics(images, given["train"])
        meta = {
            "format": FORMAT,
            "name": spec["name"],
            "spec": spec,
            "code": code,
            "images": len(labels),
            "image_shape": list(images.shape[1:]),
            "counts": {name: len(splits[name]) for name in SPLITS},
            "class_names": names,
            "superclass": _superclass(spec, len(names)),
            "mean": mean.tolist(),
            "std": std.tolist(),
            "files": {
                name: {"bytes": paths[name].stat().st_size, "sha256": files.sha256(paths[name])} for name in FILES
            },
        }
        meta["sha256"] = content_hash(meta, splits)
        files.write_json(paths[META], meta)
        publish(paths.values(), directory)
    # Apart from meta.json, which is the same for the same data.
    files.write_json(directory / "provenance.json", {"spec": spec, "code": code, "provenance": provenance(watch)})
    counts = ", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS)
    say(f"{directory}: {len(labels):,} images written ({counts})")


def _write_images(path: Path, source: Source, talk: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Write ``images.npy`` batch by batch; return the labels and each source split's positions."""
    total, done = sum(source.counts.values()), 0
    meter = Progress("images", total, "images") if talk else None
    if min(source.counts.values()) == 0:
        empty = next(split for split, count in source.counts.items() if count == 0)
        raise VicinalError(f"the {empty} split of the source has no image")
    labels = np.empty(total, dtype=np.int64)
    with path.open("wb") as file:
        for batch in source.batches:
            _check_labels(batch, source.class_names)
            if done == 0:
                _write_header(file, (total, *batch.images.shape[1:]))
            # Written, not mapped: on a full disk a write raises, a mapped page kills the process.
            file.write(np.ascontiguousarray(batch.images).data)
            labels[done : done + len(batch.labels)] = batch.labels
            done += len(batch.labels)
            if meter:
                meter.update(done)
    ends = np.cumsum(list(source.counts.values())).tolist()
    return labels, {
        split: np.arange(end - count, end, dtype=np.int64)
        for (split, count), end in zip(source.counts.items(), ends, strict=True)
    }


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _check_labels(batch: Batch, names: list[str] | None) -> None:
    high = len(names) - 1 if names else np.iinfo(np.int32).max
    wrong = np.flatnonzero((batch.labels < 0) | (batch.labels > high))
    if len(wrong):
        row, label = batch.row + int(wrong[0]), int(batch.labels[wrong[0]])
        valid = f"0 to {high}, one of its {len(names)} class names" if names else "0 or above"
        raise VicinalError(f"{batch.file}: row {row} (from 0): label {label} is not {valid}")


def _class_names(labels: np.ndarray, source: Source) -> list[str]:
    if source.class_names is not None:
        return source.class_names
    # Labels without names may be anything: do not build a list of two thousand million of them.
    classes = np.unique(labels)
    if classes[-1] >= len(labels):
        raise VicinalError(
            f"labels go up to {classes[-1]} but there are {len(classes)} classes: "
            f"number the classes 0 to {len(classes) - 1}"
        )
    return [str(label) for label in range(int(classes[-1]) + 1)]


def _check_classes(train_labels: np.ndarray, names: list[str]) -> None:
    if len(names) < 2:
        raise VicinalError("the data set has one class only: it takes two or more")
    missing = np.flatnonzero(np.bincount(train_labels, minlength=len(names)) == 0)
    if len(missing):
        raise VicinalError(
            f'class {missing[0]} ("{names[missing[0]]}") has no image in the train split, as '
            f"{len(missing)} of {len(names)} classes: labels must be numbered without gaps"
        )


def _superclass(spec: Mapping[str, Any], num_classes: int) -> list[int] | None:
    fine = spec["source"] == "torchvision" or spec.get("label_column") == "fine_label"
    known = spec["name"] == "cifar100" and fine and num_classes == 100
    return list(catalogue.CIFAR100_SUPERCLASS) if known else None


def _write_splits(
    path: Path,
    splits: Mapping[str, np.ndarray],
    origin: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> None:
    """Write the exact split: for each image that is used its position, source split and row."""
    source_split = np.empty(len(labels), dtype=object)
    source_row = np.empty(len(labels), dtype=np.int64)
    for name, positions in origin.items():
        source_split[positions] = name
        source_row[positions] = np.arange(len(positions))
    index = np.concatenate([splits[name] for name in SPLITS])
    table = pa.table(
        {
            "split": np.repeat(SPLITS, [len(splits[name]) for name in SPLITS]),
            "index": index,
            "source_split": pa.array(source_split[index], pa.string()),
            "source_row": source_row[index],
            "label": labels[index],
        }
    )
    pq.write_table(table, path, compression="zstd")


def content_hash(meta: Mapping[str, Any], splits: Mapping[str, np.ndarray]) -> str:
    """Return one SHA-256 over images (or photos), labels and splits.

    The splits count by content, not by file: the bytes of a Parquet file change with its writer's
    version, and every result that records this hash would seem to be of other data.
    """
    digest = hashlib.sha256()
    for name in CONTENT[meta["format"]]:
        digest.update(meta["files"][name]["sha256"].encode())
    for name in SPLITS:
        digest.update(f"{name} {len(splits[name])}\n".encode())
        digest.update(splits[name].astype("<i8").tobytes())
    return digest.hexdigest()
