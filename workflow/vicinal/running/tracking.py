"""Curves for TensorBoard, written by the head of a run: from heartbeats while jobs train, from histories afterwards.

No job and no spec knows of it, so it changes no result. The curves of a model are in ``results/tensorboard/ID``.
"""

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import read_object
from vicinal.results import PLAN, STAGE_OF, TRACKED, TRAINED, model_folder

# Column of a history → name of the curve.
CURVES = {
    "loss": "loss",
    "validation_accuracy": "validation/accuracy",
    "validation_loss": "validation/loss",
    "lr": "lr",
}
# Value of a model in a heartbeat → column of a history.
LIVE = {"loss": "loss", "accuracy": "validation_accuracy"}


class Tracker:
    """Writes the curves of the models that a run trains. Raises VicinalError: the package is missing."""

    def __init__(self, results: Path) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError:
            raise VicinalError(
                "execution.track: the extra tensorboard is not installed: .venv/bin/python -m pip install "
                "'tensorboard>=2.16', or set execution.track to null"
            ) from None
        self._make_writer, self._results, self._folder = Writer, results, results / TRACKED
        self._writers: dict[str, Any] = {}
        self._last: dict[str, int] = {}

    def look(self, beats: Iterable[Mapping[str, Any]]) -> None:
        """Write what the heartbeats of training jobs tell of epochs that were not written yet."""
        for beat in beats:
            if beat["stage"] not in TRAINED or beat.get("done") is None:
                continue
            for id_, curves in (beat.get("models") or {}).items():
                epoch = int(beat["done"])
                if epoch > self._last.get(id_, 0):
                    self._last[id_] = epoch
                    self._write(id_, epoch, {LIVE[name]: curves.get(name) for name in LIVE})
                    self._writers[id_].flush()

    def finish(self, rule: str, unit: str) -> None:
        """Write the whole histories of a finished job's models, in place of what was seen of them meanwhile.

        Raises VicinalError: a history is missing or unreadable.
        """
        from vicinal.training.history import training_history  # it loads NumPy; runs without curves need not wait

        stage = STAGE_OF.get(rule)
        plan = read_object(self._results / PLAN / stage / f"{unit}.json") if stage in TRAINED else {}
        for id_ in plan and plan.get("students", {unit: {}}):
            folder = model_folder(self._results, "student" if "students" in plan else "teacher", id_)
            rows = training_history(folder).to_dict("records")
            self._close(id_)
            shutil.rmtree(self._folder / id_, ignore_errors=True)
            for row in rows:
                self._write(id_, int(row["epoch"]), row)
            self._close(id_)

    def close(self) -> None:
        """Close all files."""
        for id_ in list(self._writers):
            self._close(id_)

    def _write(self, id_: str, epoch: int, row: Mapping[str, float | None]) -> None:
        if id_ not in self._writers:
            self._writers[id_] = self._make_writer(str(self._folder / id_))
        for column, name in CURVES.items():
            value = row.get(column)
            if value is not None and math.isfinite(value):
                self._writers[id_].add_scalar(name, value, epoch)

    def _close(self, id_: str) -> None:
        if writer := self._writers.pop(id_, None):
            writer.close()
