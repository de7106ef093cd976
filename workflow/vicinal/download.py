"""Downloads of large published files: over https only, kept only where the checksum is right, gone on with."""

import fcntl
import hashlib
import http.client
import os
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vicinal.errors import VicinalError
from vicinal.https import open_https
from vicinal.progress import Progress

BLOCK = 1 << 20


def checksum(path: Path, algorithm: str) -> str:
    """Return the hexadecimal checksum of a file's bytes; ``algorithm`` is a name that hashlib knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def download(url: str, path: Path, size: int, algorithm: str, wanted: str) -> None:
    """Download a file, under another name until its checksum is right; what broke off is gone on with the next time.

    Args:
        url: https only.
        path: where the file goes.
        size: as published, in bytes.
        algorithm: of the checksum, e.g. ``md5``.
        wanted: the published checksum, or its beginning where no more is published.

    Raises:
        VicinalError: it failed, or another file came; the message names path and address.
        OSError: the folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with _locked(partial) as file:
        if path.is_file():  # another process was faster
            partial.unlink()
            return
        try:
            _receive(url, size, path.name, file)
        except (OSError, http.client.HTTPException) as error:
            if not partial.stat().st_size:
                partial.unlink()
            raise _failed(path, url, str(error)) from error
        if not checksum(partial, algorithm).startswith(wanted):
            received = partial.stat().st_size
            partial.unlink()
            raise _failed(path, url, f"another file came, {received:,} bytes")
        os.fsync(file.fileno())
        partial.replace(path)  # not before: without its name here others would begin a download of their own


@contextmanager
def _locked(partial: Path) -> Iterator[BinaryIO]:
    """Open a file to append to, as the only process: wait for one that downloads the same."""
    while True:
        with partial.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{partial}: another process is downloading it, waiting for that", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_same(file, partial):
                yield file
                return


def _is_same(file: BinaryIO, path: Path) -> bool:
    """Tell whether an open file still has its name: the process before may have given it another."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _receive(url: str, size: int, name: str, file: BinaryIO) -> None:
    """Write what the server sends and the file has not yet, at most the published size and one block."""
    before = os.fstat(file.fileno()).st_size
    try:
        answer = open_https(url, {"Range": f"bytes={before}-"} if before else None)
    except urllib.error.HTTPError as error:
        if before and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there; the checksum decides
        raise
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            before = 0
            file.truncate(0)
        received, wanted = before, before + int(answer.headers.get("Content-Length") or 0)
        meter = Progress(name, max(1, size // 10**6), "MB", before=before // 10**6)
        while received <= size and (block := answer.read(BLOCK)):
            file.write(block)
            received += len(block)
            meter.update(received // 10**6)
    file.flush()
    if received < wanted and received <= size:
        raise ConnectionError(f"it broke off after {received:,} of {wanted:,} bytes; run again to go on")


def _failed(path: Path, url: str, reason: str) -> VicinalError:
    return VicinalError(f"{path}: not there, and the download of {url} failed ({reason})")
