"""Leases: while one job works on an artefact, others that want the same one wait, so that nothing is computed twice.

A lease is the kernel's lock of a file, which ends with its process however that ends. Between machines it works where
their shared file system has such locks. It only saves work: if two processes still train the same artefact, the first
to finish counts.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vicinal.errors import warn
from vicinal.files import exclusive, is_locked
from vicinal.results import LOCKS

ENDING = ".lease"


@contextmanager
def lease(results: Path, id_: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an artefact's lease for the block; while it waits it calls ``on_wait``, which may raise, twice a second."""
    path = results / LOCKS / f"{id_}{ENDING}"
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive(path, lambda: _announce(path), on_wait))
            held.callback(_end, path)
            with suppress(OSError):  # the text is for messages only
                path.write_text(f"{socket.gethostname()}, process {os.getpid()}", encoding="utf-8")
        except OSError as error:
            warn(f"{path}: {error.strerror}; going on without a lease: another process may do the same work")
        yield


def held_leases(results: Path) -> set[str]:
    """Return the ids of the artefacts that jobs are working on; a lease that cannot be opened counts."""
    found = set()
    for path in (results / LOCKS).glob(f"*{ENDING}"):
        try:
            held = not path.is_symlink() and is_locked(path)[0]
        except OSError:
            held = True
        if held:
            found.add(path.stem)
    return found


def _announce(path: Path) -> None:
    with suppress(OSError):  # released just now
        holder = path.read_text(encoding="utf-8", errors="replace") or "a process that is just starting"
        print(f"{path.stem}: another process is working on it ({holder}); waiting", flush=True)


def _end(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
