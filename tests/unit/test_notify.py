"""The command of --notify: when it runs, and what it is told."""

import json
import sys
from pathlib import Path

import pytest

from scripts import parse
from vicinal.analysis.claims import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from vicinal.commands import run as command
from vicinal.errors import VicinalError
from vicinal.running import notify as notifying
from vicinal.running.notify import VERDICTS, notify
from vicinal.running.verdicts import KEYS

ROOT = Path(__file__).resolve().parents[2]
TELL = f"""{sys.executable} -c '
import json, os
told = {{name: text for name, text in os.environ.items() if name.startswith("VICINAL_")}}
open("told.json", "w").write(json.dumps(told))'"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("VICINAL_REPRODUCED", "VICINAL_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


def write_claims(name, *verdicts):
    folder = Path("results") / name
    folder.mkdir(parents=True)
    lines = [{**dict.fromkeys(KEYS, "–"), "verdict": verdict} for verdict in verdicts]
    record = {"verdicts": lines}
    (folder / "claims.json").write_text(json.dumps(record))
    return folder


def told(status=0, *folders):
    notify(TELL, "paper", status, folders)
    return json.loads(Path("told.json").read_text())


def test_the_words_are_those_of_the_claims():
    assert VERDICTS == (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)


def test_it_counts_the_verdicts_of_all_experiments():
    folders = [write_claims("a", REPRODUCED, NOT_REPRODUCED, REPRODUCED), write_claims("b", INCONCLUSIVE, REPRODUCED)]
    assert told(0, *folders, Path("results/none")) == {
        "VICINAL_EXPERIMENT": "paper", "VICINAL_STATUS": "0", "VICINAL_REPRODUCED": "3",
        "VICINAL_NOT_REPRODUCED": "1", "VICINAL_INCONCLUSIVE": "1",
    }  # fmt: skip
    for variable in told():
        assert variable in notifying.VARIABLES


def test_a_run_that_did_not_finish_has_no_verdicts():
    found = told(130, write_claims("a", REPRODUCED))
    assert (found["VICINAL_STATUS"], found["VICINAL_REPRODUCED"]) == ("130", "0")


@pytest.mark.parametrize(
    ("line", "says"), [("exit 3", "exit 3: exit status 3"), ("exec sleep 60", "exec sleep 60: has not ended in 0.2 s")]
)
def test_a_command_that_fails_is_a_warning(line, says, monkeypatch, capsys):
    monkeypatch.setattr(notifying, "SECONDS", 0.2)
    notify(line, "digits", 0, [])
    assert capsys.readouterr().err == f"warning: --notify: {says}\n"


def arguments(*words):
    return parse(command, ROOT / "config.yaml", *words)


def raises(error):
    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (lambda *_: 0, "0"),
        (lambda *_: 130, "130"),
        (raises(VicinalError("no data")), "1"),
        (raises(KeyboardInterrupt()), "1"),
    ],
)
def test_it_runs_however_the_run_ends(monkeypatch, run, status):
    monkeypatch.setattr(command, "run", run)
    write_claims("digits", REPRODUCED)
    try:
        assert command.main(arguments("--notify", TELL), []) == int(status)
    except (VicinalError, KeyboardInterrupt):
        assert status == "1"
    found = json.loads(Path("told.json").read_text())
    assert (found["VICINAL_EXPERIMENT"], found["VICINAL_STATUS"]) == ("digits", status)
    assert found["VICINAL_REPRODUCED"] == ("1" if status == "0" else "0")


def test_without_the_option_nothing_runs(monkeypatch):
    monkeypatch.setattr(command, "run", lambda *_: 0)
    monkeypatch.setattr(command, "notify", raises(AssertionError()))
    assert command.main(arguments(), []) == 0
