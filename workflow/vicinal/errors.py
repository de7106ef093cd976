"""The one error that users see, and how a script ends with it."""

import io
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import NoReturn

# So many valid names are listed for one that is not.
LISTED = 20


class VicinalError(Exception):
    """An error that a user can correct: the message names the field or file, what is wrong and what would be right."""


def say(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Print a warning on standard error; a run shows those of jobs to its user even if all goes well."""
    say(f"warning: {line}")


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` (did you mean a, b?)`` with the valid names nearest to ``name``; else all, or the first of many."""
    valid = [str(v) for v in valid]
    if close := get_close_matches(str(name), valid, n=3, cutoff=0.6):
        return f" (did you mean {', '.join(close)}?)"
    if len(valid) <= LISTED:
        return f" (valid: {', '.join(valid)})"
    return f" ({len(valid)} are valid, e.g. {', '.join(valid[:6])})"


def check_text(field: str, text: str | None) -> None:
    """Raise VicinalError, naming ``field``, unless a text is one line of UTF-8 without control characters, or None."""
    if text is not None and any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise VicinalError(f"{field}: {text!a} has a line break, a control character or bytes that are not UTF-8")


def run(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit with its status; after a user error, with one line for each problem, with 1.

    Errors of the disk (ENOSPC, EACCES, EROFS and so on) and a lack of memory count as user errors.
    VICINAL_TRACEBACK=1 shows the traceback. SIGTERM ends the script cleanly: temporary files are removed. A letter that
    the output cannot show becomes ``?``, and where nobody reads the output any more (``| head``) the script goes on.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):  # none of a test, which replaces it
            setattr(sys, name, _forgiving(stream))
    try:
        sys.exit(main() or 0)
    except Exception as error:
        of_user = isinstance(error, VicinalError | OSError) or _is_out_of_memory(error)
        if os.environ.get("VICINAL_TRACEBACK") or not of_user:
            raise
        for line in describe(error).splitlines():
            say(f"error: {line}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # as shells do


class _Output(io.FileIO):
    """A file descriptor to write to, also where nobody reads any more."""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _forgiving(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a text stream to the same file that no letter and no closed pipe can break."""
    stream.flush()
    raw = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, "replace", line_buffering=stream.line_buffering)


def _terminate(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # as shells do


def _is_out_of_memory(error: Exception) -> bool:
    # By the names of torch's and NumPy's errors, without importing them.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"OutOfMemoryError", "MemoryError"}) or "DefaultCPUAllocator: can't" in str(error)


def describe(error: Exception) -> str:
    """Return what is wrong, one line for each problem."""
    if _is_out_of_memory(error):
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        return (
            f"out of memory ({first[:200]}): end other programs, run fewer jobs at once (--cores; on a GPU "
            "execution.gpu_slots=1), or use a larger device (execution.device): none of these changes results"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return "\n".join(" ".join(line.split()) for line in str(error).splitlines())
