"""Garbage: what no experiment refers to, and never anything that runs, is published, or lies elsewhere."""

import fcntl
import os
import shutil
import socket
import time
from argparse import Namespace
from pathlib import Path
from threading import Event, Thread

import pytest
from results_tree import GRID, MADE, configure, edit

from vicinal.audit.garbage import Item, by_kind, find_garbage, remove
from vicinal.audit.references import find_references
from vicinal.commands import gc
from vicinal.errors import VicinalError
from vicinal.files import write_json
from vicinal.jobs.lease import lease

pytestmark = pytest.mark.usefixtures("finished_project")
OTHER = GRID.replace("[1, 2]", "[2, 8]")
RESULTS = Path("results")


def found(*given):
    items = find_garbage(RESULTS, find_references(RESULTS, gc.configs(list(given))))
    return {str(item.path.relative_to(RESULTS)): item for item in items}


def kinds():
    return {item.kind for item in found().values()}


def age(path, seconds=7200):
    os.utime(path, (time.time() - seconds,) * 2)


def put(*names, text="x"):
    """Write files into the results folder; return their paths."""
    for path in (paths := [RESULTS / name for name in names]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


def run(delete=False, everything=False, configs=()):
    return gc.main(Namespace(delete=delete, all=everything, configs=[Path(path) for path in configs]))


def listing():
    """Return all that is there except the lock and the remembered hashes of data files."""
    return sorted({*RESULTS.rglob("*")} - {RESULTS / ".lock", RESULTS / "plan/sources.json"})


def student(temperature):
    [path] = RESULTS.glob(f"students/*_t{temperature}_*")
    return str(path.relative_to(RESULTS))


def test_all_that_is_referred_to_stays(capsys):
    assert found() == {}
    before = listing()
    assert run(delete=True) == 0
    assert listing() == before
    assert "nothing to remove" in capsys.readouterr().out


def test_a_student_that_is_not_wanted_any_more_goes_with_its_measurement(capsys):
    configure(OTHER)
    gone = student(1)
    assert run(everything=True) == 0
    assert gone in capsys.readouterr().out
    assert (RESULTS / gone).is_dir()
    assert kinds() == {"students", "evaluations"}
    assert gone in found()
    assert run(delete=True) == 0
    assert not (RESULTS / gone).exists()
    assert found() == {}
    assert len(list(RESULTS.glob("students/*"))) == 2
    assert (RESULTS / student(2)).is_dir()


def test_the_hours_that_would_be_lost_are_named(capsys):
    configure(OTHER)
    assert run() == 0
    assert "training and measuring" not in capsys.readouterr().out  # these records name no time
    for record in RESULTS.glob("students/*/model.json"):
        edit(record, provenance={**MADE, "began": "2026-01-01T00:00:00", "wall_seconds": 7200.0})
    assert run() == 0
    # Two students were distilled together in two hours, by these records; one of them is not wanted any more.
    assert "training and measuring them took 60 min" in capsys.readouterr().out


def test_nothing_is_removed_while_a_job_works():
    configure(OTHER)
    [cohort] = [path.name for path in RESULTS.glob("cohorts/*from*")]
    before = listing()
    with lease(RESULTS, cohort):
        assert kinds() == {"students", "evaluations"}  # and not its lock
        with pytest.raises(VicinalError, match=rf"1 job still at work here \({cohort}\); wait for"):
            run(delete=True)
    assert [path for path in before if not path.exists()] == []
    assert run(delete=True) == 0
    assert len(list(RESULTS.glob("students/*from*"))) == 1


def test_nothing_is_removed_while_a_job_shows_signs_of_life():
    configure(OTHER)
    [evaluation] = [path.name for path in RESULTS.glob("evaluations/resnet*")]
    beat = {"stage": "evaluations", "id": evaluation, "state": "running", "host": socket.gethostname()}
    beat |= {"seconds": 1.0, "seconds_left": None}
    path = RESULTS / f"heartbeats/evaluations-{evaluation}.json"
    write_json(path, {**beat, "pid": os.getpid()})
    assert kinds() == {"students", "evaluations"}
    with pytest.raises(VicinalError, match=evaluation):
        run(delete=True)
    write_json(path, {**beat, "pid": 2**22 + 1})
    age(path)
    assert kinds() == {"students", "evaluations", "heartbeats"}
    assert run(delete=True) == 0


def test_a_run_refuses_it():
    with (RESULTS / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(VicinalError, match="another run is working here"):
            run(delete=True)
    snakemake = Path(".snakemake/locks/0.input.lock")
    snakemake.parent.mkdir(parents=True)
    snakemake.touch()
    with pytest.raises(VicinalError, match="a snakemake is working here"):
        run(delete=True)


def test_left_overs_go_when_they_are_old():
    young, old, published = put(
        "students/.tmp-a_s0-11111111-x/weights.safetensors",
        "digits/.tmp-1-metrics.parquet",
        "published/digits/.tmp-1-claims.md",
    )
    age(old)
    age(published)
    assert list(found()) == ["digits/.tmp-1-metrics.parquet"]
    assert run(delete=True) == 0
    assert [path.exists() for path in (young, old, published)] == [True, False, True]


def leave_temporaries():
    """Leave what killed jobs leave: a file, a directory of two files, one of which a living job is about to rename."""
    for path in put("digits/.tmp-1-metrics.parquet", "students/.tmp-a-1/weights", "students/.tmp-a-1/history"):
        age(path)
        age(path.parent)


def test_temporaries_may_vanish_at_any_moment(monkeypatch):
    """Take each one away before each single look at it; what is found is removed all the same."""
    moment, looks, lstat = 0, 0, Path.lstat

    def vanishing(path):
        nonlocal looks
        if ".tmp-" in str(path):
            looks += 1
            if looks == moment:
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", vanishing)
    leave_temporaries()
    assert sorted(found()) == ["digits/.tmp-1-metrics.parquet", "students/.tmp-a-1"]
    total, vanished = looks, 0
    assert total > 8
    for moment in range(1, total + 1):
        looks = 0
        leave_temporaries()
        assert run(delete=True) == 0
        vanished += looks >= moment
        assert [str(path) for path in RESULTS.rglob(".tmp-*") if path.is_file() or not any(path.iterdir())] == []
    assert vanished == total


def test_a_directory_that_was_just_written_to_is_young():
    leave_temporaries()
    (RESULTS / "students/.tmp-a-1/weights").unlink()
    assert list(found()) == ["digits/.tmp-1-metrics.parquet"]


def test_files_that_another_process_removes_at_the_same_time(monkeypatch):
    monkeypatch.setattr("vicinal.audit.garbage.YOUNG", -1e9)
    references = find_references(RESULTS, gc.configs([]))
    folder, stop = RESULTS / "students/.tmp-a-1", Event()

    def remove_some():
        while not stop.is_set():
            for number in range(0, 50, 2):
                (folder / f"file{number}").unlink(missing_ok=True)

    thread = Thread(target=remove_some)
    thread.start()
    try:
        for _ in range(20):
            folder.mkdir()
            for number in range(50):
                (folder / f"file{number}").write_text("x")
            items = find_garbage(RESULTS, references)
            assert [item.path for item in items] == [folder]
            assert 25 <= items[0].files <= 50
            remove(RESULTS, items)
            assert not folder.exists()
    finally:
        stop.set()
        thread.join()


def test_links_are_neither_followed_nor_removed(tmp_path):
    configure(OTHER)
    precious = tmp_path / "precious-12345678"
    precious.mkdir()
    (precious / "file").write_text("x")
    (RESULTS / "students/link-12345678").symlink_to(precious)
    gone = student(1)
    (RESULTS / gone / "inside").symlink_to(precious)
    shutil.move(RESULTS / "evaluations", tmp_path / "evaluations")
    (RESULTS / "evaluations").symlink_to(tmp_path / "evaluations")
    before = sorted((tmp_path / "evaluations").rglob("*"))
    assert list(found()) == [gone]
    assert run(delete=True) == 0
    assert (precious / "file").exists()
    assert (RESULTS / "students/link-12345678").is_symlink()
    assert sorted((tmp_path / "evaluations").rglob("*")) == before


def test_nothing_elsewhere_is_ever_removed(tmp_path):
    for path in (RESULTS / "published/digits", RESULTS, RESULTS / "students/../../config.yaml", tmp_path):
        with pytest.raises(ValueError):
            remove(RESULTS, [Item("x", path, 1, 1)])
    assert Path("config.yaml").exists()


def test_bookkeeping_of_what_is_gone():
    stale = ["plan/cohorts/x-12345678.json", "logs/prepare_data/x-12345678.log", "locks/x-12345678.lease"]
    put(*stale, "logs/run-1.log", "logs/aggregate/digits.log", "plan/sources.json", text="{}")
    wanted = next(path.name for path in RESULTS.glob("cohorts/*"))
    put(*(f"checkpoints/{unit}/host-1-2.0.safetensors" for unit in (wanted, "x-12345678")))
    assert sorted(found()) == sorted([*stale, "checkpoints/x-12345678"])
    assert run(delete=True) == 0
    assert [path.name for path in (RESULTS / "checkpoints").iterdir()] == [wanted]


def test_the_largest_kind_is_first():
    items = [Item("a", Path("x"), 1, 2), Item("b", Path("y"), 5, 1), Item("a", Path("z"), 1, 1)]
    hours = {Path("x/model.json"): 0.5, Path("kept/model.json"): 7.0}
    assert by_kind(items, hours) == [("b", 1, 1, 5, 0), ("a", 2, 3, 2, 0.5)]


def test_without_results_there_is_nothing(capsys):
    shutil.rmtree(RESULTS)
    assert run(delete=True) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert not RESULTS.exists()
