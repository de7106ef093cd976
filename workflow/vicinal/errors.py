"""The one error that users see, and how a script ends with it."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import NoReturn


class VicinalError(Exception):
    """Something a user can put right: the message names the field or file, what is wrong and what would be right."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` (did you mean a, b?)`` for the valid names nearest to ``name``, else the list of all of them."""
    valid = [str(v) for v in valid]
    close = get_close_matches(str(name), valid, n=3, cutoff=0.6)
    return f" (did you mean {', '.join(close)}?)" if close else f" (valid: {', '.join(valid)})"


def run(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit with its status; for user errors with 1, after one line a problem on stderr.

    Set VICINAL_TRACEBACK=1 to see the traceback too. ENOSPC, EACCES, EROFS and the like count as user errors: the
    message names the file. So does a lack of memory. SIGTERM ends the script tidily: temporary files are removed.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(main() or 0)
    except Exception as error:
        if os.environ.get("VICINAL_TRACEBACK") or not _is_of_the_user(error):
            raise
        for line in describe(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say it: 128 + SIGINT


def _terminate(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # as shells say it


def _is_of_the_user(error: Exception) -> bool:
    return isinstance(error, VicinalError | OSError) or _is_out_of_memory(error)


def _is_out_of_memory(error: Exception) -> bool:
    # By the names that torch and NumPy use: what says a line must not import them.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"OutOfMemoryError", "MemoryError"}) or "DefaultCPUAllocator: can't" in str(error)


def describe(error: Exception) -> str:
    """Return what is wrong, one line a problem."""
    if _is_out_of_memory(error):
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        return (
            f"out of memory ({first[:200]}): end what else runs there, let fewer jobs run at once (--cores; on a GPU "
            "execution.gpu_slots=1), or take a larger device (execution.device): none of it changes results"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return "\n".join(" ".join(line.split()) for line in str(error).splitlines())
