"""A small terminal: what a program prints, as its user sees it."""

import re

# Cursor up, erase the line; and what does not change the text: colours, the cursor's visibility, links.
SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\][^\x1b\x07]*(?:\x1b\\|\x07)")


class VirtualTerminal:
    """A file to print to; ``screens`` holds the lines on the screen after each write."""

    def __init__(self, width: int, height: int = 24) -> None:
        self.width, self.height = width, height
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.screens: list[list[str]] = []

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.screens.append(self.screen)

    def write(self, text: str) -> int:
        place = 0
        for found in SEQUENCE.finditer(text):
            self._put(text[place : found.start()])
            self._command(found[1] or "", found[2] or "")
            place = found.end()
        self._put(text[place:])
        return len(text)

    @property
    def screen(self) -> list[str]:
        """Return the lines that are seen, without empty ones at the end."""
        return "\n".join(line.rstrip() for line in self.lines[-self.height :]).rstrip().split("\n")

    def _command(self, number: str, letter: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K":
            assert number == "2", f"erases {number}, which this terminal does not know"
            self.lines[self.row] = ""
        else:
            assert letter in ("", "m", "h", "l"), f"this terminal does not know {letter}"

    def _put(self, text: str) -> None:
        for letter in text:
            if letter == "\r":
                self.column = 0
            elif letter == "\n":
                self._next_line()
            else:
                if self.column == self.width:
                    self._next_line()
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
                self.column += 1

    def _next_line(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append("")
