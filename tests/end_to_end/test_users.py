"""Two users of one project: this process, without the rights of root, and another one to whom the files belong."""

import os
import shutil
import subprocess
import sys

import pytest
from project import SHORT

OWNER, GROUP = 54_321, 54_322
# Without these, root may do what the rights of a file allow to others, and no more.
LOST = "-dac_override,-dac_read_search,-fowner,-chown,-fsetid"
MORE = [*(text for text in SHORT if not text.startswith("temperatures")), "temperatures=[1,2,4]"]


@pytest.fixture
def shared(finished):
    """A finished project of another user."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to act as two users")
    for path in (finished.folder, *finished.folder.rglob("*")):
        os.chown(path, OWNER, GROUP, follow_symlinks=False)
    return finished


def second(project, *arguments, settings=SHORT):
    """Run ./reproduce as the second user, who is in the group of the project."""
    options = [word for text in settings for word in ("--set", text)]
    become = ["setpriv", "--bounding-set", LOST, "--inh-caps", LOST, "--groups", str(GROUP)]
    command = [*become, sys.executable, "-m", "vicinal", *arguments, *options]
    environment = project.environment(warm=False)
    return subprocess.run(
        command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False, umask=0o002
    )


def files_of(project):
    return {path: path.stat().st_mtime_ns for path in project.folder.rglob("*")}


def test_a_closed_project_can_be_looked_at(shared, tmp_path):
    before = files_of(shared)
    assert second(shared, "--help", settings=()).returncode == 0
    plan = second(shared, "plan", settings=MORE)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "2 students trained" in plan.stdout
    assert "error: results: cannot be written" in plan.stdout
    status = second(shared, "status")
    assert (status.returncode, status.stderr) == (0, "")
    assert "no run is working here" in status.stdout
    verified = second(shared, "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "all agree" in verified.stdout
    run = second(shared, settings=MORE)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: results: cannot be written (")
    place = str(shared.results / "digits")
    report = second(shared, "report", "--from", place, settings=())
    assert (report.returncode, report.stdout) == (1, "")
    assert report.stderr == f"error: --from {place}: cannot be written; name a folder for the report: --output DIR2\n"
    assert files_of(shared) == before


def test_a_file_that_may_not_be_read_is_not_called_damaged(shared):
    weights = next(shared.results.glob("students/*/weights.safetensors"))
    weights.chmod(0o600)
    verified = second(shared, "verify")
    assert verified.returncode == 1
    line, _ = verified.stdout.splitlines()
    assert line == f"{weights.relative_to(shared.folder)}: you may not read it; its owner has to allow it"


def test_in_a_group_the_second_user_goes_on(shared):
    for path in (shared.folder, *shared.folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))
    (shared.results / ".lock").chmod(0o644)
    before = files_of(shared)
    run = second(shared, *[word for text in MORE for word in ("--set", text)], "--", "--until", "distill", settings=())
    assert run.returncode == 0, run.stdout + run.stderr
    new = [path for path in shared.folder.rglob("*") if path not in before and "__pycache__" not in path.parts]
    assert len([path for path in new if path.name == "model.json"]) == 2
    for path in [*new, shared.results / ".lock"]:
        assert path.stat().st_mode & 0o060 == 0o060, path
        assert path.stat().st_gid == GROUP, path
