"""Where the Parquet files of a data set lie, and which split each belongs to.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import re
from pathlib import Path

from vicinal.data.passed_over import PassedOver
from vicinal.errors import VicinalError, check_text

SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_SHARD = re.compile(r"(train|test|validation|valid|val)(?:[-_.].*)?\.parquet")
_OF = re.compile(r"-(\d+)-of-(\d+)(?!\d)")
_NUMBERED = re.compile(r"(\d+)\.parquet")


def parquet_files(folder: Path, passed_over: PassedOver | None = None) -> dict[str, Path]:
    """Return name → path of the Parquet files of a data set, sorted; empty if there are none.

    They lie in the folder, or in its folders of splits (``train/0000.parquet``, as the hub's viewer offers them); else
    in the same way in one folder below it, as in a clone of a repository of the hub (``data/train-*.parquet``). Names
    are paths below the folder in which the set lies.

    Raises:
        VicinalError: several folders hold Parquet files.
    """
    passed_over = passed_over or PassedOver()
    if found := _set_in(folder, passed_over):
        return found
    if (folder / "train").is_dir():
        return {}  # of photos
    below = [entry.path for entry in passed_over.entries(folder) if entry.is_dir() and entry.name not in SPLIT_NAMES]
    sets = {path: found for path in sorted(map(Path, below)) if (found := _set_in(path, passed_over))}
    if len(sets) > 1:
        names = " and ".join(path.name for path in list(sets)[:2])
        raise VicinalError(f"{folder}: {names} both hold Parquet files: put one set in a folder of its own")
    return next(iter(sets.values()), {})


def _set_in(folder: Path, passed_over: PassedOver) -> dict[str, Path]:
    """Return the Parquet files of a folder, or those in its folders of splits."""
    for parts in (("",), SPLIT_NAMES):
        names = [f"{part}/{entry.name}" for part in parts for entry in passed_over.entries(folder / part, ".parquet")]
        if names:
            return {name.lstrip("/"): folder / name.lstrip("/") for name in sorted(names)}
    return {}


def shards(folder: Path | str, passed_over: PassedOver | None = None) -> dict[str, dict[str, Path]]:
    """Return the Parquet files by split (``train``, ``validation``, ``test``): name → path, sorted.

    A validation split without a test split is the test split, since it has the only held-out labels. Raises
    VicinalError: no files, a name without a split, a shard that is missing or there twice, no train or no test split.
    """
    folder = Path(folder)
    files = parquet_files(folder, passed_over)
    if not files:
        raise VicinalError(f"{folder}: expected train-*.parquet and test-*.parquet here, found none")
    found: dict[str, dict[str, Path]] = {"train": {}, "validation": {}, "test": {}}
    for name, path in files.items():
        check_text(str(folder), name)
        split = name.partition("/")[0] if "/" in name else None
        if split is None:
            match = _SHARD.fullmatch(name)
            if match is None:
                raise VicinalError(f"{path}: cannot tell its split: call it train-*, validation-* or test-*.parquet")
            split = match[1]
        found[SPLIT_NAMES[split]][name] = path
    for part in found.values():
        _check_complete(folder, list(part))
    if not found["test"]:
        found["test"], found["validation"] = found["validation"], {}
    for split in ("train", "test"):
        if not found[split]:
            raise VicinalError(f"{folder}: no {split}-*.parquet here, only {next(iter(files))} and such")
    return {split: part for split, part in found.items() if part}


def _check_complete(folder: Path, names: list[str]) -> None:
    """Check that of a split's shards, numbered ``-00000-of-00002`` or ``0000``, none is missing or there twice."""
    of = [(match[1], match[2], name) for name in names if (match := _OF.search(name))]
    if len({int(total) for _, total, _ in of}) > 1:
        raise VicinalError(
            f"{folder}: shards of different sets lie together ({of[0][2]} and {of[-1][2]}): keep one set"
        )
    plain = [(match[1], name) for name in names if (match := _NUMBERED.fullmatch(name.rpartition("/")[2]))]
    numbers = [(number, name) for number, _, name in of] or plain
    first: dict[int, str] = {}
    for number, name in numbers:
        if (same := first.setdefault(int(number), name)) != name:
            raise VicinalError(f"{folder}: {same} and {name} are both shard {number}: keep one")
    total = int(of[0][1]) if of else max(first, default=-1) + 1
    if missing := sorted(set(range(total)) - set(first)):
        number, name = numbers[0]
        raise VicinalError(f"{folder}: shard {missing[0]:0{len(number)}d} of {name} and such is missing")
