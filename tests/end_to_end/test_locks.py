"""Locks that killed runs leave behind: whose they are decides whether they are removed."""

import os
import signal
import time

import pytest
from project import SHORT, Project, make_project

SETTINGS = (*SHORT, "methods=[ce]")


def kill_a_run(folder):
    """Make a project whose run was killed, head, Snakemake and jobs together."""
    project = make_project(folder)
    arguments = [part for setting in (*SETTINGS, "epochs=5000") for part in ("--set", setting)]
    run = project.start(*arguments, start_new_session=True)
    locks = project.folder / ".snakemake" / "locks"
    deadline = time.monotonic() + 180
    while not (locks.is_dir() and any(locks.iterdir()) and (project.results / "heartbeats").is_dir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    for pipe in (run.stdout, run.stderr):
        pipe.close()
    assert any(locks.iterdir())


@pytest.fixture
def locked(once, tmp_path) -> Project:
    return Project(once("locked", kill_a_run)).copy(tmp_path / "project")


def test_the_lock_of_a_killed_run_is_removed_and_the_run_goes_on(locked):
    result = locked.until("distill", settings=SETTINGS)
    assert result.returncode == 0, result.stderr
    [line] = [line for line in result.stdout.splitlines() if line.startswith("removing the lock")]
    assert line.startswith("removing the lock of a Snakemake that was killed (process ")
    assert (locked.results / ".lock").read_text() == ""


def test_the_lock_of_a_snakemake_that_may_work_is_left_to_the_user(locked):
    # As if plain snakemake had made it: the head's own record is of a run that ended in order.
    (locked.results / ".lock").write_text("")
    before = sorted(path.name for path in (locked.folder / ".snakemake/locks").iterdir())
    result = locked.reproduce(settings=SETTINGS)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: .snakemake/locks: a snakemake that ./reproduce did not start is working here")
    assert "./reproduce --unlock" in line
    assert sorted(path.name for path in (locked.folder / ".snakemake/locks").iterdir()) == before
    result = locked.until("prepare_data", "--unlock", settings=SETTINGS)
    assert result.returncode == 0, result.stderr
    assert not list(locked.folder.glob(".snakemake/locks/*"))
