"""The processes of a run, as Linux shows them, and the files that they are writing."""

import ctypes
import os
import select
import struct
from pathlib import Path

CREATED, MOVED_HERE, IS_DIRECTORY = 0x100, 0x80, 0x40000000
TEMPORARY = (".tmp-", ".old-")


def session(leader: int) -> dict[int, str]:
    """Return the living processes of a session: number → command line."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            # After the name, which may hold anything, in parentheses: state, parent, group, session.
            fields = Path(f"/proc/{entry.name}/stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes().split(b"\0")
                found[int(entry.name)] = b" ".join(words).decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended this moment
    return found


def scripts(leader: int) -> list[str]:
    """Return the names of the workflow's scripts that run in a session, e.g. distill.py."""
    names = []
    for command in session(leader).values():
        words = command.split()
        # Not the shells around them, whose command line is one long word after -c.
        if len(words) > 1 and words[0].endswith("python") and "workflow/scripts/" in words[1]:
            names.append(Path(words[1]).name)
    return sorted(names)


def temporary_files(folder: Path) -> list[str]:
    """Return the names of temporary files and directories below a folder, except signs of life."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(TEMPORARY) and path.relative_to(folder).parts[0] not in ("heartbeats", "locks", "plan")
    )


class Writes:
    """Tells at once when a temporary file is made below a folder (inotify)."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._paths: dict[int, Path] = {}
        self._watch(folder)

    def __enter__(self) -> "Writes":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def _watch(self, folder: Path) -> None:
        if folder.name in ("heartbeats", "locks", "logs", "plan"):
            return
        number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), CREATED | MOVED_HERE)
        if number < 0:
            return  # it is gone again
        self._paths[number] = folder
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                self._watch(Path(entry.path))

    def wait(self, seconds: float) -> int:
        """Return how many temporary files were made since the last call, waiting at most ``seconds`` for the first."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return 0
        content, position, made = os.read(self._descriptor, 1 << 16), 0, 0
        while position < len(content):
            number, mask, _, length = struct.unpack_from("iIII", content, position)
            name = os.fsdecode(content[position + 16 : position + 16 + length].rstrip(b"\0"))
            position += 16 + length
            if number not in self._paths:
                continue  # the queue was too long: the next call sees more
            made += name.startswith(TEMPORARY)
            if mask & IS_DIRECTORY:
                self._watch(self._paths[number] / name)
        return made
