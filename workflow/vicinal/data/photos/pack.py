"""Packing: photos one after the other into one file, piece by piece, so that a killed job can be resumed.

Until the store is whole a folder holds ``photos.bin`` as far as it is written, ``piece-NNNNN.npz`` for each whole piece
in it, and ``key.json``, which says what is packed. A piece is recorded once its photos are on the disk.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import files
from vicinal.data.photos.encode import BadPhotoError, Encoded, encode_photo
from vicinal.data.photos.ordered import available_cores, in_order
from vicinal.data.photos.sources import PhotoSource
from vicinal.errors import VicinalError
from vicinal.jobs.progress import Progress

PIECE = 1000  # photos
_TASK = 8  # photos that a thread takes at a time
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Packing:
    """How photos are packed."""

    # Pixels to which the shorter side of larger photos is reduced; None: the bytes of JPEGs are kept.
    shorter_side: int | None = None
    quality: int = 95  # of JPEGs that are encoded anew
    bad_share: float = 0.001  # share of the photos that may be unreadable
    as_viewed: bool = False  # see ``pictures.as_viewed``


@dataclass(frozen=True)
class Packed:
    """What was packed, of M photos."""

    path: Path  # the file of all photos
    sha256: str  # of that file
    lengths: np.ndarray  # bytes of each photo, (M,) int64; 0: it is unreadable
    sizes: np.ndarray  # height and width, (M, 2) int32
    digests: np.ndarray  # of their bytes, (M,) uint64
    # Number of photos that are ``kept`` (the bytes of the source), and of each of ``pictures.oddities``.
    counts: Counter[str]
    bad: dict[str, str]  # name of an unreadable photo → what is wrong with it


def pack(source: PhotoSource, numbers: np.ndarray, folder: Path, packing: Packing, key: dict[str, Any]) -> Packed:
    """Pack the photos with these ascending numbers, or resume a packing; the file is the same either way.

    The rest of a packing with another ``key``, all that determines the result, is removed. Raises VicinalError: too
    many photos are unreadable.
    """
    pieces, digest = _resumed(folder, key)
    done = sum(len(piece["lengths"]) for piece in pieces)
    progress = Progress("photos", len(numbers), "photos", before=done)
    allowed = max(1, int(packing.bad_share * len(numbers) + 1e-9))
    bad = {name: reason for piece in pieces for name, reason in piece["bad"].tolist()}
    encoded = _encode(source, numbers[done:], packing)
    path = folder / "photos.bin"
    with closing(encoded), files.naming(path), path.open("ab") as file:
        while done < len(numbers):
            piece = _Piece()
            for number, photo in zip(numbers[done : done + PIECE].tolist(), encoded, strict=False):
                if isinstance(photo, Encoded):
                    file.write(photo.data)
                    digest.update(photo.data)
                    piece.add(photo)
                else:
                    bad[source.name(number)] = photo
                    if len(bad) > allowed:
                        raise _too_many(bad, allowed, len(numbers), packing.bad_share)
                    piece.add_bad(source.name(number), photo)
                progress.update(done + len(piece.rows))
            file.flush()
            os.fsync(file.fileno())
            pieces.append(piece.write(folder / f"piece-{len(pieces):05d}.npz"))
            done += len(piece.rows)
    columns = (np.concatenate([piece[name] for piece in pieces]) for name in ("lengths", "sizes", "digests"))
    counts = Counter(name for piece in pieces for name in piece["facts"].tolist())
    return Packed(path, digest.hexdigest(), *columns, counts, bad)


def _resumed(folder: Path, key: dict[str, Any]) -> tuple[list[dict[str, np.ndarray]], Any]:
    """Return the whole pieces of an earlier packing with this key, and the running checksum of their photos."""
    if files.read_object(folder / "key.json") != key:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_json(folder / "key.json", key)
    path = folder / "photos.bin"
    path.touch()
    pieces, end, size = [], 0, path.stat().st_size
    while (piece_path := folder / f"piece-{len(pieces):05d}.npz").is_file():
        with np.load(piece_path, allow_pickle=False) as stored:
            piece = dict(stored)
        if end + int(piece["lengths"].sum()) > size:
            break
        pieces.append(piece)
        end += int(piece["lengths"].sum())
    os.truncate(path, end)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return pieces, digest


class _Piece:
    """The index of one piece, as it grows."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int]] = []  # length, height, width, digest
        self.bad: list[tuple[str, str]] = []
        self.facts: list[str] = []

    def add(self, photo: Encoded) -> None:
        self.rows.append((len(photo.data), photo.height, photo.width, photo.digest))
        self.facts += [*photo.odd, *(["kept"] if photo.kept else [])]

    def add_bad(self, name: str, reason: str) -> None:
        self.rows.append((0, 0, 0, 0))
        self.bad.append((name, reason))

    def write(self, path: Path) -> dict[str, np.ndarray]:
        """Write the piece; return what can be read from it."""
        content = {
            "lengths": np.array([length for length, *_ in self.rows], dtype=np.int64),
            "sizes": np.array([size for _, *size, _ in self.rows], dtype=np.int32),
            "bad": np.array(self.bad, dtype=np.str_).reshape(-1, 2),
            "digests": np.array([digest for *_, digest in self.rows], dtype=np.uint64),
            "facts": np.array(self.facts, dtype=np.str_),
        }
        with files.atomic_path(path) as temporary:
            np.savez(temporary, **content)
        return content


def _encode(source: PhotoSource, numbers: np.ndarray, packing: Packing) -> Iterator[Encoded | str]:
    """Yield each photo encoded, or what is wrong with it."""

    def work(photos: list[bytes | Path | None]) -> list[Encoded | str]:
        return [_encode_one(photo, packing) for photo in photos]

    photos, cores = source.read(numbers), available_cores()
    tasks = ((chunk,) for chunk in iter(lambda: list(islice(photos, _TASK)), []))
    for encoded in in_order(work, tasks, cores, ahead=4 * cores):
        yield from encoded


def _encode_one(photo: bytes | Path | None, packing: Packing) -> Encoded | str:
    try:
        data = photo.read_bytes() if isinstance(photo, Path) else photo
        return encode_photo(data, packing.shorter_side, packing.quality, packing.as_viewed) if data else "empty"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except BadPhotoError as error:
        return str(error)


def _too_many(bad: dict[str, str], allowed: int, total: int, share: float) -> VicinalError:
    first = "; ".join(f"{name} ({reason})" for name, reason in islice(bad.items(), 3))
    return VicinalError(
        f"more than {allowed} of {total:,} photos cannot be read (data.bad_share {share:g}): {first}; "
        "repair or remove them"
    )
