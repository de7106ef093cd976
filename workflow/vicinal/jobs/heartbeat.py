"""The heartbeat of a running job: a small JSON file, rewritten every two seconds, that ``status`` reads.

A job that succeeds removes its file. After an error the file stays, with the state ``failed``; a killed job leaves it
as it was, so its age shows that the job is dead. A thread writes it, so a long step does not stop the heartbeat and a
slow disk does not stop a step.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import psutil

from vicinal.errors import describe, say
from vicinal.results import HEARTBEATS

EVERY = 2.0
# A job without a beat for this long may be dead. It is long because clocks differ and disks can be slow.
SILENT_SECONDS = 60 + EVERY
# A job of this machine whose process is gone is dead after this many seconds without a beat.
GONE_SECONDS = 3 * EVERY

_current: list["Heartbeat"] = []


class Heartbeat:
    """Keeps the heartbeat file of a job up to date for as long as its ``with`` block lasts.

    The file is ``results/heartbeats/STAGE-ID.json`` with the fields

    - ``stage``, ``id``, ``host``, ``pid``, ``slurm_job_id`` (None outside SLURM), ``device`` (None until it is known),
    - ``state``: ``running`` or ``failed``, and then ``error``, the first line of the message,
    - ``began``, ``updated``: UTC, ISO 8601; ``seconds`` since the start by the monotonic clock,
    - ``done``, ``total``, ``unit`` (epochs, models, images; None until something is counted), ``seconds_left``,
      ``images_per_second`` (None if the job trains nothing),
    - ``models``: model id → ``loss`` and ``accuracy`` (of the validation split, a fraction), None if unknown,
    - ``labels``: model id → what tells a student of the job from the others (``student_labels``).

    If the file cannot be written, one line in the log says so, and the job goes on.
    """

    def __init__(
        self, results: Path, stage: str, id_: str, every: float = EVERY, labels: Mapping[str, str] | None = None
    ) -> None:
        self.path = results / HEARTBEATS / f"{stage}-{id_}.json"
        self.labels = dict(labels or {})
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
            "labels": self.labels,
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
        # A job that is stopped, e.g. by Ctrl-C, did not fail.
        if isinstance(error, Exception):
            lines = describe(error).splitlines() or [type(error).__name__]
            self.update(state="failed", error=lines[0])
            self._write()
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as problem:
            self._complain(problem)

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
            # Not files.write_text: a heartbeat may be lost, so it need not wait for the disk.
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            say(f"{self.path}: {error.strerror}; ./reproduce status cannot follow this job")


def current_labels() -> dict[str, str]:
    """Return the labels of the models of this process's job; empty if it has no heartbeat."""
    return _current[-1].labels if _current else {}


def update_heartbeat(**fields: Any) -> None:
    """Set fields of the heartbeat of this process, if it has one."""
    if _current:
        _current[-1].update(**fields)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_beats(results: Path, now: float) -> list[dict[str, Any]]:
    """Return the heartbeats, oldest job first, each with ``age`` (s), ``silent`` and ``gone``; ``now`` in s since 1970.

    Other files are left out.
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
            continue  # the job ended just now, or this is another file
    return sorted(beats, key=lambda beat: beat.get("began") or "")


def _sign_of_life(beat: dict[str, Any], mtime: float, now: float) -> dict[str, Any]:
    # By the time of the file, which the disk sets: the clock of the job's machine may be wrong.
    age = max(0.0, now - mtime)
    silent = beat["state"] == "running" and age > SILENT_SECONDS
    here = beat.get("host") == socket.gethostname()
    # Not ``age``: if a clock was set back, a dead job's file lies in the future.
    still = abs(now - mtime) > GONE_SECONDS
    gone = beat["state"] == "running" and still and here and not psutil.pid_exists(beat["pid"])
    return {"age": age, "silent": silent and not gone, "gone": gone}


def lives(beat: dict[str, Any]) -> bool:
    """Return whether a job, as ``read_beats`` returns it, is alive."""
    return beat["state"] == "running" and not beat["silent"] and not beat["gone"]
