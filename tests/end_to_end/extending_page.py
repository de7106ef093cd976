"""What workflow/docs/extending.md shows, applied to a project: its code, files and commands are read from it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project import ROOT, Project

PAGE = ROOT / "workflow" / "docs" / "extending.md"
_BLOCK = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of code of the page; ``path`` is the file named above it."""

    path: str | None
    language: str
    text: str


def blocks(section: str) -> list[Block]:
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [Block(**match.groupdict()) for match in _BLOCK.finditer(text)]


def block_of(path: str) -> Block:
    [found] = [
        block for match in _BLOCK.finditer(PAGE.read_text()) if (block := Block(**match.groupdict())).path == path
    ]
    return found


def apply(section: str, folder: Path) -> Iterator[list[str]]:
    """Put the files and changes of a section into a project; return its commands, as words."""
    commands = []
    for block in blocks(section):
        if block.language == "sh":
            commands += [shlex.split(line) for line in block.text.splitlines()]
        elif block.language == "diff":
            insert(folder / block.path, block.text)
        else:
            (folder / block.path).write_text(block.text, encoding="utf-8")
    return iter(commands)


def insert(path: Path, change: str) -> None:
    """Insert the lines that start with + among those that are there, unless somebody has done it."""
    lines = change.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" ", " +"))
    text = path.read_text(encoding="utf-8")
    if after not in text:
        assert text.count(before) == 1, f"{path}: the page speaks of lines that are not there: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")


def plan(project: Project, words: list[str], *settings: str) -> dict:
    """Run a command ``./reproduce plan …`` of the page, shortened by settings."""
    assert words[:2] == ["./reproduce", "plan"]
    options = [word for setting in settings for word in ("--set", setting)]
    result = project.command(*words[1:], *options, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def reproduce(project: Project, words: list[str], *settings: str, until: str) -> None:
    """Run a command ``./reproduce …`` of the page, shortened by settings and by the rule that it ends with."""
    assert words[0] == "./reproduce"
    result = project.until(until, *words[1:], settings=settings)
    assert result.returncode == 0, result.stdout + result.stderr
