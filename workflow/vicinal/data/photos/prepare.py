"""The files of a photo store, from a source."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import files
from vicinal.data import sources
from vicinal.data.equal_images import equal_images, equality_notes
from vicinal.data.photos.pack import Packing, pack
from vicinal.data.photos.sources import open_photos
from vicinal.data.photos.splits import photo_splits
from vicinal.data.photos.statistics import photo_statistics
from vicinal.data.pictures import oddity_notes
from vicinal.data.prepare import Say, Splits, check_classes, write_splits
from vicinal.data.statistics import constant_notes

BAD_FILES = "bad_files.txt"


def build_photos(
    spec: Mapping[str, Any], root: Path, work: Path, code: str | None, say: Say
) -> tuple[dict[str, Any], Splits]:
    """Write the files of a photo store; see ``vicinal.data.prepare.Build``.

    After a kill it continues from the last whole piece, and the store is the same byte for byte. Only photos that
    belong to a split are packed. Unreadable photos are left out and listed in ``bad_files.txt``; their share may be
    ``bad_share`` at most (or one photo).
    """
    directory = work.parent
    if spec["source"] == "parquet":
        sources.verify_files(spec, root)
    source = open_photos(spec, root)
    wanted = photo_splits(source, spec)
    numbers = np.sort(np.concatenate(list(wanted.values())))
    packing = Packing(**{key: spec[key] for key in (entry.name for entry in fields(Packing)) if key in spec})
    packed = pack(source, numbers, work, packing, {"spec": spec, "code": code})
    good = packed.lengths > 0
    if packed.bad:
        say(f"{directory}: {len(packed.bad)} photos could not be read, see {BAD_FILES}")
    files.write_text(directory / BAD_FILES, "".join(f"{name}: {reason}\n" for name, reason in packed.bad.items()))

    splits = {name: _positions(numbers, good, part) for name, part in wanted.items()}
    offsets = np.concatenate([[0], np.cumsum(packed.lengths[good])]).astype(np.int64)
    labels = source.labels[numbers[good]]
    names = check_classes(labels, splits["train"], source.class_names)
    with files.naming(directory, work):
        np.save(work / "offsets.npy", offsets)
        np.save(work / "labels.npy", labels)
        np.save(work / "sizes.npy", packed.sizes[good])
        photos = np.array([source.name(number) for number in numbers[good].tolist()], dtype=object)
        write_splits(work / "splits.parquet", splits, {"source": photos, "label": labels})
    train, seed = splits["train"], spec.get("split_seed", 0)
    equal = equal_images(packed.digests[good], splits)
    mean, std, origin = photo_statistics(spec["name"], packed.path, offsets, train, seed)
    return {
        "images": int(good.sum()),
        "class_names": names,
        "superclass": None,
        "equal_to_training": equal,
        "notes": [
            *source.notes,
            *([] if packing.as_viewed else oddity_notes(packed.counts)),
            *equality_notes(equal, splits),
            *constant_notes(std),
        ],
        "mean": mean.tolist(),
        "std": std.tolist(),
        "statistics": origin,
        "encoding": {
            "shorter_side": packing.shorter_side,
            "quality": packing.quality,
            "kept": packed.counts["kept"],
            "encoded_anew": int(good.sum()) - packed.counts["kept"],
        },
        "bad": {"count": len(packed.bad), "allowed_share": packing.bad_share},
        "files": {packed.path.name: packed.sha256},
    }, splits


def _positions(numbers: np.ndarray, good: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the positions in the store of the readable photos of a split."""
    place = np.cumsum(good) - 1
    found = np.searchsorted(numbers, part)
    return place[found[good[found]]].astype(np.int64)
