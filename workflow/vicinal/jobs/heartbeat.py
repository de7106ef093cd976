"""The sign of life of a running job: one small JSON file, written anew every two seconds, that ``status`` reads.

A job that ends well removes its file. One that ends by an error leaves it with the state ``failed``, one that is
killed leaves it as it was, and its age tells. A thread of its own writes the file, so that a job is known to live
through a long step, and a slow disk holds up no step.
"""

import json
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import psutil

from vicinal.errors import describe
from vicinal.results import HEARTBEATS

EVERY = 2.0
# A job without a beat for so long may be dead: clocks of two machines and slow disks are allowed for.
SILENT_SECONDS = 60 + EVERY
# A job whose process is gone from this machine is dead after this many seconds without a beat.
GONE_SECONDS = 3 * EVERY

_current: list["Heartbeat"] = []


class Heartbeat:
    """Keeps the heartbeat file of a job up to date for as long as its ``with`` block lasts.

    The file is ``results/heartbeats/STAGE-ID.json`` with the fields

    - ``stage``, ``id``, ``host``, ``pid``, ``slurm_job_id`` (None outside SLURM), ``device`` (None until it is known),
    - ``state``: ``running`` or ``failed``, and then ``error``, the first line of the message,
    - ``began``, ``updated``: UTC, ISO 8601; ``seconds`` since the start by a clock that nobody sets,
    - ``done``, ``total``, ``unit`` (epochs, models, images; None as long as nothing was counted), ``seconds_left``,
      ``images_per_second`` (None where no images are trained on),
    - ``models``: model id → ``loss`` and ``accuracy`` (of the validation split, a fraction), None where not known.

    A file that cannot be written is worth one line in the log, never the job.
    """

    def __init__(self, results: Path, stage: str, id_: str, every: float = EVERY) -> None:
        self.path = results / HEARTBEATS / f"{stage}-{id_}.json"
        self._every = every
        self._start = monotonic()
        self._stop = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)
        self._complained = False
        self._content: dict[str, Any] = {
            "stage": stage,
            "id": id_,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
            "device": None,
            "state": "running",
            "began": _now(),
            "done": None,
            "total": None,
            "unit": None,
            "seconds_left": None,
            "images_per_second": None,
            "models": {},
        }

    def __enter__(self) -> "Heartbeat":
        self._write()
        self._thread.start()
        _current.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        _current.remove(self)
        self._stop.set()
        self._thread.join()
        # Ctrl-C and the like stop a job: it did not fail.
        if isinstance(error, Exception):
            lines = describe(error).splitlines() or [type(error).__name__]
            self.update(state="failed", error=lines[0])
            self._write()
        else:
            self._remove()

    def update(self, **fields: Any) -> None:
        """Set fields of the file, to be written with the next beat."""
        self._content = {**self._content, **fields}

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            self._write()

    def _write(self) -> None:
        content = {**self._content, "updated": _now(), "seconds": round(monotonic() - self._start, 1)}
        temporary = self.path.with_name(f".tmp-{os.getpid()}-{self.path.name}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Renamed, so that nobody reads half of it; not synced, since it may be lost.
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._complain(error)

    def _remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            print(
                f"{self.path}: {error.strerror}; ./reproduce status cannot follow this job", file=sys.stderr, flush=True
            )


def update_heartbeat(**fields: Any) -> None:
    """Set fields of the heartbeat of this process; a process without one goes on without."""
    if _current:
        _current[-1].update(**fields)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_beats(results: Path, now: float) -> list[dict[str, Any]]:
    """Return the heartbeats, oldest job first, each with ``age`` (s), ``silent`` and ``gone``; ``now`` in s since 1970.

    Files that are none are left out.
    """
    beats = []
    for path in sorted((results / HEARTBEATS).glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            beat = json.loads(path.read_text(encoding="utf-8"))
            if {"stage", "id", "state", "seconds", "seconds_left", "pid"} <= beat.keys():
                beats.append({**beat, **_sign_of_life(beat, path.stat().st_mtime, now)})
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # it ended this moment, or somebody put another file there
    return sorted(beats, key=lambda beat: beat.get("began") or "")


def _sign_of_life(beat: dict[str, Any], mtime: float, now: float) -> dict[str, Any]:
    # By the time of the file, which comes from the disk: the clock of the job's machine may be wrong.
    age = max(0.0, now - mtime)
    silent = beat["state"] == "running" and age > SILENT_SECONDS
    here = beat.get("host") == socket.gethostname()
    # Not max(0, ...): where a clock was set back, a dead job's file is of the future.
    still = abs(now - mtime) > GONE_SECONDS
    gone = beat["state"] == "running" and still and here and not psutil.pid_exists(beat["pid"])
    return {"age": age, "silent": silent and not gone, "gone": gone}


def lives(beat: dict[str, Any]) -> bool:
    """Tell whether a job shows signs of life (``read_beats``)."""
    return beat["state"] == "running" and not beat["silent"] and not beat["gone"]
