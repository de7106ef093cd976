"""What lies in the folder of a data set and is no part of it: one list for Parquet files and photos.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# Made by macOS, Windows, Linux, and the storage systems of Synology and QNAP; compared in lower case.
_MADE_BY_SYSTEMS = {
    *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("lost+found", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
}
_SHOWN = 8  # kinds in a line


class PassedOver:
    """Lists folders without what is no part of a data set, and counts that."""

    def __init__(self) -> None:
        # What was passed over (``hidden``, the name of a system's file, or an ending) → how often.
        self.counts: Counter[str] = Counter()

    def entries(self, folder: Path, ending: str = "") -> Iterator[os.DirEntry]:
        """Yield what lies in a folder and ends like this; nothing where there is no such folder."""
        try:
            with os.scandir(folder) as found:
                entries = [entry for entry in found if entry.name.endswith(ending)]
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.startswith("."):  # also AppleDouble files, ._NAME
                self.counts["hidden"] += 1
            elif entry.name.lower() in _MADE_BY_SYSTEMS:
                self.counts[entry.name.strip()] += 1
            else:
                yield entry

    def add(self, name: str) -> None:
        """Count a file of another kind by its ending."""
        self.counts[ascii(Path(name).suffix.lower())[1:-1] or "without an ending"] += 1

    def notes(self) -> list[str]:
        """Return what to say: a line, or none if nothing was passed over."""
        if not self.counts:
            return []
        common = self.counts.most_common()
        shown = [f"{count:,} {kind}" for kind, count in common[:_SHOWN]]
        rest = sum(count for _, count in common[_SHOWN:])
        return [f"files or folders passed over: {', '.join(shown)}{f', {rest:,} others' if rest else ''}"]
