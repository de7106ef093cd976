"""SHA-256 of files of the user, each read once: results remember them by path, size and time of the last change.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.errors import VicinalError


def remembered_sums(paths: Iterable[Path], cache: Path | None, gone: bool = False) -> dict[Path, str]:
    """Return path → SHA-256; files with the size and mtime in the cache are not read again.

    Args:
        paths: of the files.
        cache: JSON file that remembers, or None.
        gone: whether a file that is not there any more has the sum that is remembered.

    Raises:
        VicinalError: there is no such file, it cannot be read, or the cache is damaged.
    """
    remembered: dict[str, Any] = {}
    if cache is not None and Path(cache).exists():
        remembered = files.read_json(cache)
        if not isinstance(remembered, dict):
            raise VicinalError(f"{cache}: not a cache of checksums: delete it")
    before = dict(remembered)
    sums = {}
    for path in paths:
        try:
            name = str(path.resolve())
            entry = remembered.get(name)
            known = isinstance(entry, list) and len(entry) == 3
            if path.is_file():
                stat = path.stat()
                if not (known and entry[:2] == [stat.st_size, stat.st_mtime_ns]):
                    entry = [stat.st_size, stat.st_mtime_ns, files.sha256(path)]
                    remembered[name] = entry
            elif not (gone and known):
                raise VicinalError(f"{path}: no such file")
        except OSError as error:
            raise VicinalError(f"{path}: cannot be read ({str(error.strerror).lower()})") from None
        sums[path] = entry[2]
    if cache is not None and remembered != before:
        files.write_json(cache, remembered)
    return sums
