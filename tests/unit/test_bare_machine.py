"""A machine that is lent for its GPU may have torch and what it needs, and no way to install more."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ("gpu_profile", "gpu_throughput", "photo_training", "rounding")
# Packages of requirements.lock that the GPU's tests and benchmarks do without.
MISSING = "snakemake pydantic hypothesis pandas seaborn matplotlib timm jinja2 yaml xdist"


@pytest.fixture
def bare(tmp_path):
    """Return a function that runs Python without those packages and returns what it prints."""
    code = f"import sys; sys.modules.update(dict.fromkeys({MISSING.split()}))\n"
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")

    def run(*arguments):
        path = f"{tmp_path}:{ROOT / 'workflow'}:{ROOT / 'tests' / 'benchmarks'}"
        environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_the_tests_that_need_a_gpu_are_collected_by_name(bare):
    [line] = re.findall(r"-m pytest (-m gpu .*) \"\$@\"", (ROOT / "run-tests").read_text(encoding="utf-8"))
    _, marker, *files = line.split()
    marked = {
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests" / "unit").glob("test_*.py"))
        if re.search(r"^(pytestmark = |@)pytest\.mark\.gpu$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert set(files) == marked
    found = bare("-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "-m", marker, *files)
    assert {line.partition("::")[0] for line in found.splitlines() if "::" in line} == marked


def test_the_benchmarks_of_a_gpu_start(bare):
    bare("-c", f"import {', '.join(BENCHMARKS)}")


def test_a_first_session_keeps_what_it_found_and_goes_on_after_a_failure(tmp_path):
    """With a python3 that writes down its arguments, and fails in the second part."""
    programs = tmp_path / "bin"
    programs.mkdir()
    seen = tmp_path / "seen"
    (programs / "nvidia-smi").write_text("#!/bin/sh\n")
    (programs / "python3").write_text(
        f'#!/bin/sh\necho "$@" | tr "\\n" " " >> {seen}\necho >> {seen}\n[ "$(wc -l < {seen})" != 2 ] || exit 7\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    session = ROOT / "tests" / "benchmarks" / "first_gpu_session.sh"
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    command = [str(session), str(tmp_path / "found")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path).stdout
    assert re.findall(r"ended with (\d+)", shown) == ["0", "7", *["0"] * 8]
    with tarfile.open(tmp_path / "found" / "session.tar.gz") as archive:
        logs = [name for name in archive.getnames() if name.endswith(".log")]
    assert len(logs) == 10
    started = seen.read_text().split()
    scripts = {word for word in started if word.endswith(".py")}
    assert len(scripts) == 2 + len(BENCHMARKS)
    assert all((ROOT / script).is_file() for script in scripts)
