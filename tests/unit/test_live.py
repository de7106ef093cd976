"""The live view on terminals of all widths: jobs in lines of their own, below them a whole bar."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console
from virtual_terminal import VirtualTerminal

from vicinal.jobs.heartbeat import Heartbeat
from vicinal.results import STAGES
from vicinal.running import live
from vicinal.running.live import LiveView, follow, shorten
from vicinal.running.time_left import Running, work_left

COHORT = "resnet8x4_from_resnet32x4_s{}-1f3c9a2e"
STATS = {"train_teacher": 3, "distill": 1430, "combine_reports": 1, "all": 1, "total": 1435}
MODELS = {f"s{k}": {"loss": 0.5 + k, "accuracy": 0.7 + k / 10} for k in range(3)}
# The bar, the count, the clock and the time left, all of them.
BAR = re.compile(r"^[━╸╺]+  +(\d+/\d+) jobs  (\d+ days?, )?\d+:\d\d:\d\d(  about \d+ \w+ left)?$")


def beat(results, stage, id_, **fields):
    """Write the heartbeat of a job."""
    heartbeat = Heartbeat(results, stage, id_)
    heartbeat.update(**fields)
    heartbeat._write()


def begins(id_, rule="distill", log="x.log", **wildcards):
    wildcards = wildcards or {"cohort": COHORT.format(id_)}
    return {"event": "job_info", "jobid": id_, "rule_name": rule, "wildcards": wildcards, "log": [log]}


def ends(id_):
    return {"event": "job_finished", "job_id": id_}


@pytest.fixture
def view(tmp_path, monkeypatch):
    """Return a function that makes a view on a terminal of a width, with six jobs at work."""
    monkeypatch.setattr(live, "DRAW_SECONDS", 0.0)
    monkeypatch.setattr(live, "EVERY", 0.0)
    for k in range(6):
        fields = {"done": 12.345, "total": 240, "unit": "epochs", "seconds_left": 60.0 * (k + 1)}
        beat(tmp_path, "cohorts", COHORT.format(k), models=MODELS, **fields)

    def make(width, height=24):
        terminal = VirtualTerminal(width, height)
        console = Console(file=terminal, force_terminal=True, width=width, height=height, highlight=False)
        view = LiveView(console, tmp_path, lambda: {"train_teacher": 9.0, "distill": 50.0, "combine_reports": 1.0})
        return view, terminal

    return make


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_bar_count_and_clock_are_seen_at_every_width(view, width):
    view, terminal = view(width)
    with view:
        view.show()
        assert "finding out what there is to do  0:00:00" in terminal.screen[-1]
        view.take({"event": "run_info", "stats": STATS})
        for k in range(6):
            view.take(begins(k))
            view.show()
            assert BAR.match(terminal.screen[-1]), terminal.screen
        *jobs, more, bar = terminal.screen
        assert len(jobs) == 4
        for k, line in enumerate(jobs):
            assert len(line) <= width
            assert re.match(rf"distill  resnet8x4\S*{k}-1f3c9a2e  12\.3/240 epochs, ", line), line
            assert f"{60 * (k + 1) if k == 0 else k + 1} " in line
        if width >= 100:
            assert jobs[1].endswith("2 min left, loss 0.500–2.500, val 70.0–90.0%")
        assert more == "and 2 more jobs, queued or running"
        assert "0/1434 jobs  0:00:00  about" in bar
        view.take(ends(2))
        view.show()
        assert re.match(r"\[   1/1434\] 0:00:0\d distill +" + COHORT.format(2), "".join(terminal.screen))
        assert BAR.match(terminal.screen[-1])[1] == "1/1434"
        assert all(BAR.match(screen[-1]) for screen in terminal.screens[3:])
    # The view goes, the news stay.
    assert "".join(terminal.screen).endswith(COHORT.format(2))


def test_a_low_terminal_shows_fewer_jobs_and_the_bar(view):
    view, terminal = view(80, height=5)
    with view:
        view.take({"event": "run_info", "stats": STATS})
        for k in range(6):
            view.take(begins(k))
        view.show()
    screen = terminal.screens[-2]
    assert [line[:7] for line in screen[:-1]] == ["distill", "distill", "and 4 m"]
    assert BAR.match(screen[-1])


def test_names_of_rules_are_never_glued_to_what_they_work_on(view):
    view, terminal = view(100)
    longest = max((stage.rule for stage in STAGES.values()), key=len)
    stats = {stage.rule: 1 for stage in STAGES.values()}
    with view:
        view.take({"event": "run_info", "stats": {**stats, "all": 1, "total": len(stats) + 1}})
        for k, stage in enumerate(STAGES.values()):
            view.take(begins(k, stage.rule, one="report"))
            view.take(ends(k))
        view.show()
        *lines, bar = terminal.screen
    assert BAR.match(bar)[1] == f"{len(stats)}/{len(stats)}"
    assert [line.split()[-2:] for line in lines] == [[stage.rule, "report"] for stage in STAGES.values()]
    assert {line.index("report", len(line) - 6) for line in lines} == {len("[ 1/13] 0:00:00 ") + len(longest) + 2}


def test_the_time_left_is_planned_first_and_then_measured(view, monkeypatch):
    view, _ = view(80)
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert view._time_left() == ""
    view.take({"event": "run_info", "stats": {"train_teacher": 3, "all": 1, "total": 4}})
    view.take(begins(1, "train_teacher", teacher="t-1"))
    clock[0] += 4.0
    assert view._time_left() == "  about 23 s left"  # 5 s of this one, 9 s of each of two more
    clock[0] += 16.0
    view.take(ends(1))
    view.take(begins(2, "train_teacher", teacher="t-2"))
    assert view._time_left() == "  about 40 s left"
    view.take(begins(3, "train_teacher", teacher="t-3"))
    clock[0] += 10.0
    # 40 s of work in 30 s: 1.33 jobs at a time; 10 s of each are left.
    assert view._time_left() == "  about 15 s left"
    view.take(ends(2))
    view.take(ends(3))
    assert view._time_left() == ""


def test_without_a_plan_the_time_left_is_a_least_one(tmp_path):
    view = LiveView(Console(file=VirtualTerminal(80)), tmp_path)
    view.take({"event": "run_info", "stats": {"distill": 1, "make_report": 1, "all": 1, "total": 3}})
    view.take(begins(1))
    assert view._time_left() == ""
    beat(tmp_path, "cohorts", COHORT.format(1), done=1, total=2, unit="epochs", seconds_left=30.0)
    view._look()
    view.run.running[1].began -= 10
    view._first_job -= 10
    assert view._time_left() == "  at least 30 s left"


def test_a_job_that_takes_longer_than_those_before_makes_it_a_least_one():
    waiting, took = {"plot_figures": 0, "make_report": 1}, {"plot_figures": [4.0], "make_report": [3.0]}
    assert work_left(waiting, [Running("plot_figures", 3.0, None)], took) == (4.0, False)
    assert work_left(waiting, [Running("plot_figures", 9.0, None)], took) == (3.0, True)
    assert work_left(waiting, [Running("plot_figures", 9.0, 1.0)], took) == (4.0, False)
    assert work_left({"distill": 2}, [], took) == (0.0, True)
    assert work_left({"distill": 2}, [Running("distill", 3.0, 7.0)], {}, {"distill": 99.0}) == (27.0, False)


def test_a_job_that_does_not_count_shows_the_end_of_its_log(view, tmp_path):
    log = tmp_path / "a.log"
    view, terminal = view(60)
    with view:
        view.take({"event": "run_info", "stats": {"prepare_data": 1, "all": 1, "total": 2}})
        view.take(begins(1, "prepare_data", str(log), data="d-1"))
        view.show()
        assert terminal.screen[0] == "prepare_data  d-1"
        log.write_text("d-1: reading\n")
        view.show()
        assert terminal.screen[0] == "prepare_data  d-1  reading"


def test_a_file_gets_lines_now_and_then(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live, "DRAW_SECONDS", 0.05)
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.3)
    log = tmp_path / "a.log"
    log.write_text("c-1: 3/30 epochs\n")
    reading, writing = os.pipe()
    events = [{"event": "run_info", "stats": {"distill": 6, "all": 1, "total": 7}}]
    events += [begins(k, log=str(log), cohort=f"c-{k}") for k in range(6)]
    with os.fdopen(writing, "w") as pipe:
        pipe.write("".join(json.dumps(event) + "\n" for event in events))
        pipe.flush()
        view = LiveView(Console(highlight=False, width=80), tmp_path, lambda: {"distill": 600.0})

        def stop(event, take=view.take):
            take(event)
            if event["event"] == "job_finished":
                pipe.write(json.dumps(ends(4)))  # killed within a line
                pipe.close()

        monkeypatch.setattr(view, "take", stop)

        until = time.monotonic() + 0.6

        def show(show=view.show):
            show()
            if time.monotonic() > until and not view.run.done and not pipe.closed:
                pipe.write(json.dumps(ends(3)) + "\n")
                pipe.flush()

        monkeypatch.setattr(view, "show", show)
        follow(reading, view)
    lines = [re.sub(r"\d:\d\d:\d\d", "T", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == [
        "        T … 0/6 jobs  about 10 min left",
        *["        T … c-1: 3/30 epochs"] * 4,
        "        T … and 2 more jobs, queued or running",
    ]
    assert lines[-1] == "[1/6] T distill  c-3"


@pytest.mark.parametrize(
    ("width", "short"), [(9, "resnet_s0"), (8, "resn…_s0"), (3, "r…0"), (1, "…"), (0, ""), (-4, "")]
)
def test_a_long_name_loses_its_middle(width, short):
    assert shorten("resnet_s0", width) == short
    assert len(short) <= max(0, width)


def test_the_folder_of_the_results_need_not_exist(tmp_path):
    view = LiveView(Console(file=VirtualTerminal(80), force_terminal=True, width=80), tmp_path / "none")
    with view:
        view.show()
    assert list(Path(tmp_path).iterdir()) == []
