"""Curves for TensorBoard: what is written while models train and afterwards, and that a run never fails by it."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from configs import default
from rich.console import Console
from test_live import begins, ends
from virtual_terminal import VirtualTerminal

from vicinal.errors import VicinalError
from vicinal.jobs.heartbeat import Heartbeat
from vicinal.planning.plans import build_plans, resolve
from vicinal.running import live
from vicinal.running.live import LiveView
from vicinal.running.tracking import Tracker
from vicinal.training.history import history_table


class Writer:
    """Stands for tensorboard.summary.Writer, as far as it is used; each writes a text file of its own."""

    full, made = False, 0

    def __init__(self, output):
        assert isinstance(output, str)  # the real one takes no Path
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        Writer.made += 1
        self._path, self._lines, self._closed = folder / f"events.{Writer.made}", [], False

    def add_scalar(self, tag, data, step, *, wall_time=None, description=None):
        assert not self._closed
        if Writer.full:
            raise OSError(28, "No space left on device", str(self._path))
        self._lines.append(f"{tag} {step} {float(data):g}\n")

    def flush(self):
        self._path.write_text("".join(self._lines))

    def close(self):
        self.flush()
        self._closed = True


@pytest.fixture(autouse=True)
def package(monkeypatch):
    monkeypatch.setattr(Writer, "full", False)
    monkeypatch.setitem(sys.modules, "tensorboard", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tensorboard.summary", SimpleNamespace(Writer=Writer))


def beat(done, **models):
    curves = {id_: {"loss": loss, "accuracy": accuracy} for id_, (loss, accuracy) in models.items()}
    return {"stage": "cohorts", "id": "c-1", "done": done, "models": curves}


def events(results, id_):
    return [line for path in (results / "tensorboard" / id_).iterdir() for line in path.read_text().splitlines()]


def finished(results, stage, unit, *students):
    """Write the plan of a job, and the histories of its models."""
    plan = {"students": {id_: {} for id_ in students}} if students else {"spec": {}}
    path = results / "plan" / stage / f"{unit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan))
    folders = [results / "students" / id_ for id_ in students] or [results / "teachers" / unit / "model"]
    for folder in folders:
        folder.mkdir(parents=True)
        rows = [{"epoch": 1, "lr": 0.1, "loss": 2.0}, {"epoch": 2, "lr": 0.1, "loss": 1.0, "validation_accuracy": 0.5}]
        pq.write_table(history_table(rows), folder / "history.parquet")


HISTORY = ["loss 1 2", "lr 1 0.1", "loss 2 1", "validation/accuracy 2 0.5", "lr 2 0.1"]


def test_heartbeats_are_written_once_an_epoch(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.look(
        [beat(0, a=(None, None)), {"stage": "evaluations", "id": "e", "done": 3, "models": {"x": {"loss": 1}}}]
    )
    tracker.look([beat(1, a=(2.0, 0.25), b=(float("nan"), None))])
    tracker.look([beat(1.7, a=(2.0, 0.25), b=(1.5, None)), beat(None)])
    tracker.look([beat(3.2, a=(1.0, 0.5), b=(1.25, None))])
    assert events(tmp_path, "a") == ["loss 1 2", "validation/accuracy 1 0.25", "loss 3 1", "validation/accuracy 3 0.5"]
    assert events(tmp_path, "b") == ["loss 3 1.25"]
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["a", "b"]


def test_a_finished_job_has_the_curves_of_its_histories(tmp_path):
    finished(tmp_path, "cohorts", "c-1", "a", "b")
    finished(tmp_path, "teachers", "t-1")
    tracker = Tracker(tmp_path)
    tracker.look([beat(2, a=(9.0, None))])
    tracker.finish("distill", "c-1")
    tracker.finish("train_teacher", "t-1")
    tracker.finish("evaluate", "e-1")
    tracker.finish("distill", "without_a_plan")
    assert [events(tmp_path, id_) for id_ in ("a", "b", "t-1")] == [HISTORY] * 3
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3


def test_the_run_tells_of_its_jobs_and_goes_on_when_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    finished(tmp_path, "cohorts", "c-1", "a")
    heartbeat = Heartbeat(tmp_path, "cohorts", "c-2")
    heartbeat.update(done=1, total=2, unit="epochs", models={"z": {"loss": 0.5, "accuracy": None}})
    heartbeat._write()
    terminal = VirtualTerminal(200)
    view = LiveView(Console(file=terminal, width=200), tmp_path, tracker=Tracker(tmp_path))
    with view:
        view.take({"event": "run_info", "stats": {"distill": 3, "all": 1, "total": 4}})
        for k in (1, 2, 3):
            view.take(begins(k, cohort=f"c-{k}"))
        view.show()
        assert events(tmp_path, "z") == ["loss 1 0.5"]
        view.take(ends(1))
        assert events(tmp_path, "a") == HISTORY
        Writer.full = True
        heartbeat.update(done=2)
        heartbeat._write()
        view._next_look = 0
        view.show()
        view.take(ends(2))
    assert "warning: execution.track: " in terminal.screen[1]
    assert "no space left on device; going on without it" in terminal.screen[1]
    assert terminal.screen[2].startswith("[2/3]")


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(VicinalError) as raised:
        Tracker(tmp_path)
    message = str(raised.value)
    assert message.startswith("execution.track: the extra tensorboard is not installed: .venv/bin/python -m pip ")
    assert "\n" not in message


def test_the_setting():
    def track(value):
        return default(f"execution.track={value}").execution.track

    assert (track("null"), track("tensorboard")) == (None, "tensorboard")
    with pytest.raises(VicinalError, match=r"execution\.track"):
        track("wandb")


def test_it_changes_no_plan(tmp_path):
    def keys(*settings):
        artefacts, _ = resolve([default("seeds=[0]", *settings)], "config.yaml", tmp_path)
        return {plan.ref: plan.key for plan in build_plans(artefacts)}

    assert keys("execution.track=tensorboard") == keys()
