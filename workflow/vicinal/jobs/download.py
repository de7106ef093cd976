"""Downloads, over https only. An interrupted one is resumed; a file is kept only if its checksum is right."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Thread

from vicinal import errors
from vicinal.errors import VicinalError
from vicinal.files import checksum, exclusive
from vicinal.jobs.progress import Progress

BLOCK = 1 << 20
# Seconds without a byte after which a download fails: on a node without internet nothing ever comes.
TIMEOUT = 30
# Seconds that ``unreachable`` waits for all servers together.
PROBE_SECONDS = 10.0


class _HttpsOnly(urllib.request.BaseHandler):
    """Refuses every address that is not https, redirections too."""

    def default_open(self, request: urllib.request.Request) -> None:
        if request.type != "https":
            raise urllib.error.URLError(f"{request.full_url}: not an https address")


def open_https(url: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """Return the response to a request; certificates are checked.

    Raises OSError: it failed, or was redirected to another protocol. HTTPException: the server does not speak HTTP.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "vicinal", **(headers or {})})
    return urllib.request.build_opener(_HttpsOnly).open(request, timeout=TIMEOUT)


def provide(
    url: str, path: Path, size: int, algorithm: str, wanted: str, remedy: str, say: Callable[[str], None] = print
) -> str:
    """Return the checksum of a published file, which is downloaded (``download``) if it is missing.

    Raises VicinalError: it cannot be downloaded, or another file is there.
    """
    if not path.is_file():
        download(url, path, size, algorithm, wanted, remedy, say)
    return verify(url, path, algorithm, wanted)


def verify(url: str, path: Path, algorithm: str, wanted: str) -> str:
    """Return the checksum of a file, which is the published one. Raises VicinalError: it is not."""
    found = checksum(path, algorithm)
    if not found.startswith(wanted):
        raise VicinalError(
            f"{path}: damaged or another file ({path.stat().st_size:,} bytes, {algorithm} {found}; published: "
            f"{wanted}): delete it and fetch it again from {url}"
        )
    return found


def download(
    url: str, path: Path, size: int, algorithm: str, wanted: str, remedy: str = "", say: Callable[[str], None] = print
) -> None:
    """Download a file unless it is there. It gets its final name once its checksum is right.

    Args:
        url: https only.
        algorithm: of the checksum, e.g. ``md5``.
        wanted: the published checksum, or its beginning where no more is published.
        remedy: what the user can do where the download fails.

    Raises:
        VicinalError: it failed, or the checksum is wrong; the message names path, address and remedy.
        OSError: the folder cannot be made or written to.
    """
    say(f"downloading {url} to {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with exclusive(partial, lambda: errors.say(f"{partial}: another process is downloading it; waiting")):
        if path.is_file():  # another process was faster
            partial.unlink(missing_ok=True)
            return
        if reason := _fetch(url, partial, size, path.name) or _mismatch(partial, algorithm, wanted):
            problem = f"{path}: not there, and the download of {url} failed ({reason})"
            raise VicinalError(f"{problem}: {remedy}" if remedy else problem)
        partial.replace(path)  # not earlier: other processes would start the download again


def _fetch(url: str, partial: Path, size: int, name: str) -> str:
    """Complete a partial file; return why that failed, or nothing. An empty file is removed."""
    try:
        _receive(url, partial, size, name)
    except (OSError, http.client.HTTPException) as error:
        if not partial.stat().st_size:
            partial.unlink()
        return str(error)
    return ""


def _mismatch(partial: Path, algorithm: str, wanted: str) -> str:
    """Return why a downloaded file is not the published one, and remove it; nothing if it is the published one."""
    found = checksum(partial, algorithm)
    if found.startswith(wanted):
        return ""
    received = partial.stat().st_size
    partial.unlink()
    return f"another file came, {received:,} bytes, checksum {found}"


def _receive(url: str, partial: Path, size: int, name: str) -> None:
    """Append what the file lacks, at most the published size and one block."""
    with partial.open("ab") as file:
        before = file.tell()
        try:
            answer = open_https(url, {"Range": f"bytes={before}-"} if before else None)
        except urllib.error.HTTPError as error:
            if before and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # it is complete; the checksum decides
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
        os.fsync(file.fileno())
    if received < wanted and received <= size:
        raise ConnectionError(f"interrupted after {received:,} of {wanted:,} bytes; run again to resume it")


def unreachable(urls: Iterable[str]) -> dict[str, str]:
    """Return the addresses that offer no file within ``PROBE_SECONDS``, each with the reason."""
    answers: dict[str, str] = {}
    # Daemons, so that the process can end while one still waits.
    threads = {url: Thread(target=_ask, args=(url, answers), daemon=True) for url in urls}
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + PROBE_SECONDS
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    late = f"no answer in {PROBE_SECONDS:g} s"
    return {url: reason for url in threads if (reason := answers.get(url, late))}


def _ask(url: str, answers: dict[str, str]) -> None:
    """Request a file without reading it; note why that fails, or an empty text."""
    try:
        open_https(url).close()
        answers[url] = ""
    except (OSError, http.client.HTTPException) as error:
        wraps = isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError)
        answers[url] = str(getattr(error, "reason", error) if wraps else error) or type(error).__name__
