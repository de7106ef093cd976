"""./reproduce status from another process, while a run trains and after one of its jobs was killed."""

import json
import os
import signal
import time

from project import SHORT

# One cohort that trains for minutes, unless it is killed.
LONG = [*(setting for setting in SHORT if not setting.startswith("epochs")), "methods=[ce]", "epochs=50000"]


def status(project, *arguments) -> str:
    result = project.command("status", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def wait_for(project, condition, seconds=120):
    """Return the first status that fulfils a condition."""
    deadline = time.monotonic() + seconds
    while not condition(found := json.loads(status(project, "--json"))):
        assert time.monotonic() < deadline, f"waited in vain: {found}"
        time.sleep(0.5)
    return found


def test_status_of_a_run(fresh_project):
    project = fresh_project
    assert status(project) == "nothing has run here yet: ./reproduce\n"
    assert not project.results.exists()

    run = project.start(*(part for setting in LONG for part in ("--set", setting)))
    try:
        first = wait_for(project, lambda found: found["running"] and (found["running"][0]["done"] or 0) >= 1)
        [job] = first["running"]
        assert (job["stage"], job["unit"], job["total"]) == ("cohorts", "epochs", 50_000)
        assert (job["device"], job["silent"]) == ("cpu", False)
        assert job["age"] < 10
        assert job["images_per_second"] > 0
        assert job["seconds_left"] > 0
        assert first["head"]["running"]
        assert first["head"]["holder"].startswith(f"process {run.pid} since ")
        assert first["stages"]["data"] == {"done": 1, "wanted": 1}
        assert first["stages"]["cohorts"] == {"done": 0, "wanted": 1}
        assert [(done["stage"], done["seconds"] is not None) for done in first["finished"]] == [("data", True)]
        assert first["failed"] == []

        later = wait_for(project, lambda found: found["running"] and found["running"][0]["done"] > job["done"])
        [model] = later["running"][0]["models"].values()
        assert model["loss"] > 0
        text = status(project)
        assert f"a run is working here: process {run.pid}" in text
        assert job["id"] in text
        assert "/50000 epochs" in text

        os.kill(job["pid"], signal.SIGKILL)
        _, errors = run.communicate(timeout=60)
        assert run.returncode != 0
        assert "not finished" in errors
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=60)

    last = wait_for(project, lambda found: found["failed"])
    assert last["running"] == []
    assert not last["head"]["running"]
    [failure] = last["failed"]
    assert (failure["stage"], failure["id"]) == ("cohorts", job["id"])
    assert "killed" in failure["error"]
    assert "epochs" in failure["lines"][-1]
    text = status(project)
    assert "no run is working here" in text
    assert "failed: 1" in text
    assert f"distill {job['id']}: stopped without a word: killed, or out of memory?" in text
    assert failure["lines"][-1][:100] in text
