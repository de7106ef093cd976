"""Download published weights: over https only, and kept only where the checksum is right.

A download that broke off is gone on with.
"""

import fcntl
import http.client
import os
import urllib.error
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from vicinal import files
from vicinal.errors import VicinalError
from vicinal.https import open_https
from vicinal.models.pretrained import Weights, pretrained_weights, weights_path
from vicinal.progress import Progress

BLOCK = 1 << 20


def fetch_weights(names: Iterable[str], root: Path | str, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Make sure that files of published weights are there and whole, downloading those that are missing.

    Args:
        names: of ``vicinal.models.pretrained.WEIGHTS``.
        root: folder of all data; the files lie in its folder ``weights``.
        say: is given a line for each step.

    Returns:
        Name → the record of its file: ``file`` (its name), ``sha256`` of its content, ``url``, ``pretraining_mixup``
        and ``recipe``.

    Raises:
        VicinalError: a name is wrong, or a file is missing and cannot be downloaded, or is damaged.
    """
    names = list(dict.fromkeys(names))
    paths = {name: weights_path(root, name) for name in names}
    records = {}
    for name, path in paths.items():
        weights = pretrained_weights(name)
        if not path.is_file():
            _download(path, weights, say)
        records[name] = {
            "file": path.name,
            "sha256": _verified(path, weights),
            "url": weights.url,
            "pretraining_mixup": weights.pretraining_mixup,
            "recipe": weights.recipe,
        }
        say(f"{name}: {path} is there and whole")
    return records


def _verified(path: Path, weights: Weights) -> str:
    """Return the SHA-256 of a file of weights, once it is the published one."""
    found = files.sha256(path)
    if not found.startswith(weights.sha256):
        raise VicinalError(
            f"{path}: damaged or another file (its SHA-256 begins with {found[:8]}, that of {weights.url} with "
            f"{weights.sha256}): delete it and fetch it again"
        )
    return found


def _download(path: Path, weights: Weights, say: Callable[[str], None]) -> None:
    """Download a file, under another name until its checksum is right."""
    say(f"downloading {weights.url} to {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VicinalError(f"{path}: another process is downloading it: wait for it, then run again") from None
        if path.is_file():
            return  # another process was faster
        try:
            _receive(weights, file)
        except (OSError, http.client.HTTPException) as error:
            if not partial.stat().st_size:
                partial.unlink()
            raise _failed(path, weights, str(error)) from error
        with files.atomic_path(path) as temporary:
            partial.replace(temporary)
            found = files.sha256(temporary)
            if not found.startswith(weights.sha256):
                size = temporary.stat().st_size
                raise _failed(path, weights, f"another file came, {size:,} bytes, SHA-256 {found}")


def _receive(weights: Weights, file: BinaryIO) -> None:
    """Write what the server sends and the file has not yet, at most the published size and one block."""
    before = os.fstat(file.fileno()).st_size
    try:
        answer = open_https(weights.url, {"Range": f"bytes={before}-"} if before else None)
    except urllib.error.HTTPError as error:
        if before and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there; the checksum decides
        raise
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            before = 0
            file.truncate(0)
        received, wanted = before, before + int(answer.headers.get("Content-Length") or 0)
        meter = Progress(weights.file, max(1, weights.size // 10**6), "MB", before=before // 10**6)
        while received <= weights.size and (block := answer.read(BLOCK)):
            file.write(block)
            received += len(block)
            meter.update(received // 10**6)
    file.flush()
    if received < wanted and received <= weights.size:
        raise ConnectionError(f"it broke off after {received:,} of {wanted:,} bytes; run again to go on")


def _failed(path: Path, weights: Weights, reason: str) -> VicinalError:
    return VicinalError(
        f"{path}: not there, and the download of {weights.url} failed ({reason}): copy the file (its SHA-256 begins "
        f"with {weights.sha256}) there, or run fetch_weights.py where there is internet"
    )
