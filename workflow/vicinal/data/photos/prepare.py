"""Build a photo store from a source."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vicinal import files
from vicinal.data import sources
from vicinal.data.photos.pack import FOLDER, Packed, Packing, pack
from vicinal.data.photos.sources import PhotoSource, open_photos
from vicinal.data.photos.splits import photo_splits
from vicinal.data.photos.statistics import photo_statistics
from vicinal.data.photos.store import FILES, FORMAT, PhotoStore
from vicinal.data.prepare import Say, content_hash, is_kept
from vicinal.data.scratch import naming, publish
from vicinal.data.store import META, SPLITS
from vicinal.errors import VicinalError, nearest
from vicinal.jobs.provenance import Stopwatch, provenance

BAD_FILES = "bad_files.txt"
STATISTICS = ("imagenet", "sample")
_LOCK = ".packing.lock"


def prepare_photos(
    spec: Mapping[str, Any],
    root: Path | str,
    directory: Path | str,
    progress: Say | None = None,
    code: str | None = None,
) -> PhotoStore:
    """Build the photo store of a data spec, or keep the one that is there if it is the same.

    Killed while it packs, it goes on from the last whole piece when it is called again, and the store is the same byte
    for byte. Only photos that belong to a split are packed. Photos that cannot be read are left out of their split and
    named in ``bad_files.txt``, up to a share of ``bad_share`` (or one photo).

    Args:
        spec: ``name``, ``source`` (folder or parquet), ``files``, perhaps ``image_column`` and ``label_column``; the
            fields of ``splits.photo_splits``; and those of the photos: ``shorter_side`` (None: bytes of JPEGs are
            kept), ``quality`` (95), ``bad_share`` (0.001), ``statistics`` (``imagenet``: the published mean and
            standard deviation, the default for the name imagenet; ``sample``: of 5,000 training photos).
        root: the folder of all data.
        directory: where the store belongs.
        progress: takes lines that say what is going on; None also silences the progress on standard error.
        code: fingerprint of the code that builds it: a store of other code is built anew.

    Raises:
        VicinalError: a field, a file or a label is wrong, or too many photos cannot be read.
    """
    say = progress or (lambda line: None)
    directory = Path(directory)
    spec = {key: value for key, value in spec.items() if value is not None}
    for field in ("name", "source", "files"):
        if field not in spec:
            raise VicinalError(f"data.{field}: missing in the data spec")
    packing, statistics = _packing(spec), _statistics(spec)
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory, say):
        if not is_kept(directory, spec, code, say, FORMAT):
            _build(spec, Path(root), directory, packing, statistics, progress, code)
    return PhotoStore(directory)


def _packing(spec: Mapping[str, Any]) -> Packing:
    packing = Packing(**{key: spec[key] for key in ("shorter_side", "quality", "bad_share") if key in spec})
    side = packing.shorter_side
    if side is not None and (not isinstance(side, int) or side < 16):
        raise VicinalError(f"data.shorter_side: {side} is not a whole number of pixels from 16")
    if not isinstance(packing.quality, int) or not 1 <= packing.quality <= 100:
        raise VicinalError(f"data.quality: {packing.quality} is not a whole number from 1 to 100")
    if not isinstance(packing.bad_share, int | float) or not 0 <= packing.bad_share < 1:
        raise VicinalError(f"data.bad_share: {packing.bad_share} is not a share from 0 and below 1")
    return packing


def _statistics(spec: Mapping[str, Any]) -> str:
    kind = spec.get("statistics", "imagenet" if spec["name"] == "imagenet" else "sample")
    if kind not in STATISTICS:
        raise VicinalError(f"data.statistics: {kind!r} is unknown{nearest(kind, STATISTICS)}")
    return kind


@contextmanager
def _alone(directory: Path, say: Say) -> Iterator[None]:
    """Hold the lock of a store's folder, waiting while another process packs there."""
    path = directory / _LOCK
    with files.exclusive(path, lambda: say(f"{directory}: another process packs it; waiting")):
        yield
        path.unlink(missing_ok=True)


def _build(
    spec: dict[str, Any],
    root: Path,
    directory: Path,
    packing: Packing,
    statistics: str,
    progress: Say | None,
    code: str | None,
) -> None:
    watch = Stopwatch()
    if spec["source"] == "parquet":
        sources.verify_files(spec, root)
    source = open_photos(spec, root)
    wanted = photo_splits(source, spec)
    numbers = np.sort(np.concatenate(list(wanted.values())))
    packed = pack(source, numbers, directory, packing, {"spec": spec, "code": code}, progress is not None)
    work = directory / FOLDER
    good = packed.lengths > 0
    splits = {name: _positions(numbers, good, part) for name, part in wanted.items()}
    arrays = {
        "offsets.npy": np.concatenate([[0], np.cumsum(packed.lengths[good])]).astype(np.int64),
        "labels.npy": source.labels[numbers[good]],
        "sizes.npy": packed.sizes[good],
    }
    names = source.class_names or [str(label) for label in range(int(source.labels.max()) + 1)]
    _check_classes(arrays["labels.npy"][splits["train"]], names)
    for name, array in arrays.items():
        with naming(work / name) as path:
            np.save(path, array)
    with naming(work / "splits.parquet") as path:
        _write_splits(path, splits, source, numbers[good])
    mean, std, origin = photo_statistics(
        statistics, packed.path, arrays["offsets.npy"], splits["train"], spec.get("split_seed", 0), progress is not None
    )
    meta = {
        "format": FORMAT,
        "name": spec["name"],
        "spec": spec,
        "code": code,
        "images": int(good.sum()),
        "counts": {name: len(splits[name]) for name in SPLITS},
        "class_names": names,
        "superclass": None,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "statistics": origin,
        "encoding": {
            "shorter_side": packing.shorter_side,
            "quality": packing.quality,
            "kept": packed.kept,
            "encoded_anew": int(good.sum()) - packed.kept,
        },
        "bad": {"count": len(packed.bad), "allowed_share": packing.bad_share},
        "files": {
            name: {"bytes": (work / name).stat().st_size, "sha256": _sha256(work, name, packed)} for name in FILES
        },
    }
    meta["sha256"] = content_hash(meta, splits)
    files.write_text(directory / BAD_FILES, "".join(f"{name}: {reason}\n" for name, reason in packed.bad.items()))
    files.write_json(work / META, meta)
    publish([work / name for name in (*FILES, META)], directory)
    shutil.rmtree(work, ignore_errors=True)
    # Apart from meta.json, which is the same for the same data.
    files.write_json(directory / "provenance.json", {"spec": spec, "code": code, "provenance": provenance(watch)})
    if progress:
        counts = ", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS)
        bad = f"; {len(packed.bad)} could not be read, see {BAD_FILES}" if packed.bad else ""
        progress(f"{directory}: {int(good.sum()):,} photos packed ({counts}{bad})")


def _positions(numbers: np.ndarray, good: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the positions in the store of those photos of a split that could be read."""
    place = np.cumsum(good) - 1
    found = np.searchsorted(numbers, part)
    return place[found[good[found]]].astype(np.int64)


def _check_classes(train_labels: np.ndarray, names: list[str]) -> None:
    missing = np.flatnonzero(np.bincount(train_labels, minlength=len(names)) == 0)
    if len(missing):
        raise VicinalError(f'class {missing[0]} ("{names[missing[0]]}") has no photo that can be read to train on')


def _sha256(work: Path, name: str, packed: Packed) -> str:
    return packed.sha256 if name == packed.path.name else files.sha256(work / name)


def _write_splits(path: Path, splits: Mapping[str, np.ndarray], source: PhotoSource, numbers: np.ndarray) -> None:
    """Write the exact split: for each photo its position in the store, its name in the source and its label."""
    index = np.concatenate([splits[name] for name in SPLITS])
    table = pa.table(
        {
            "split": np.repeat(SPLITS, [len(splits[name]) for name in SPLITS]),
            "index": index,
            "source": [source.name(number) for number in numbers[index].tolist()],
            "label": source.labels[numbers[index]],
        }
    )
    pq.write_table(table, path, compression="zstd")
