"""./reproduce status: how the status of a run is shown, on a terminal, live and as a page."""

import json
from dataclasses import asdict

import pytest
from configs import REPOSITORY
from rich.console import Console
from test_status import finish, shown
from test_status import plans as plans
from test_status import results as results

from scripts import parse, run_command
from vicinal.commands import status as command
from vicinal.errors import VicinalError
from vicinal.planning.files import write_plans
from vicinal.results import STAGES
from vicinal.running.status import Head, Monitor, Status


@pytest.mark.parametrize("width", [60, 80, 160])
def test_it_fits_the_terminal(width):
    models = {f"s{k}": {"loss": 0.5 + k, "accuracy": 0.7 + k / 10} for k in range(3)}
    beat = {
        "stage": "cohorts", "id": "resnet8x4_from_resnet32x4_mix0.4_a0.5_s0-1f3c9a2e", "host": "gpu-node-117",
        "pid": 123456, "slurm_job_id": "998877", "device": "cuda", "done": 12.345, "total": 240, "unit": "epochs",
        "seconds_left": 8000.0, "images_per_second": 41234.5, "models": models, "age": 1.2, "silent": False,
    }  # fmt: skip
    status = Status("cifar100", "experiments/cifar100.yaml", Head(True, "process 1 since now"), wanted=379, done=17)
    status.stages = {stage: {"done": 1, "wanted": 144} for stage in STAGES}
    status.running = [beat] * 40
    status.seconds_left = 400_000.0
    text = shown(status, width)
    assert max(map(len, text.splitlines())) <= width
    assert "17 of 379 jobs done, about 111 h left" in text.replace("\n", " ")
    assert "and 24 more" in text
    if width >= 80:
        for word in ("12.3/240 epochs", "0.500–2.500", "70.0–90.0%", "41,234", "2.2 h", "alive 1 s ago"):
            assert word in text, word
        assert "998877" in text


STUDENTS = {"s0": "KD + mixup T=2", "s1": "KD + mixup T=2 c=0.5"}


def training(**more):
    """Return the heartbeat of a cohort of two students."""
    curves = {"s0": {"loss": 0.5, "accuracy": 0.7}, "s1": {"loss": 1.5, "accuracy": None}}
    return {
        "stage": "cohorts", "id": "c_s0-1f3c9a2e", "host": "here", "pid": 1, "done": 1, "total": 2, "unit": "epochs",
        "seconds_left": 8.0, "models": curves, "labels": STUDENTS, "age": 1.2, "silent": False, **more,
    }  # fmt: skip


def test_the_students_of_a_job_are_told_apart():
    status = Status("digits", "config.yaml", running=[training()], wanted=3)
    lines = [line.split("  ") for line in shown(status, 100).splitlines()]
    rows = [[word.strip() for word in line if word] for line in lines]
    assert ["KD + mixup T=2", "0.500", "70.0%"] in rows
    assert ["KD + mixup T=2 c=0.5", "1.500"] in rows
    # With many students, and for one model alone, the range must do.
    for beats in ([training()] * 13, [training(labels={})], [training(models={"s0": {"loss": 1.0, "accuracy": None}})]):
        status.running = beats
        assert "KD" not in shown(status, 100)


def test_the_page_is_the_view_and_refreshes_itself(tmp_path):
    page = tmp_path / "status.html"
    status = Status("<digits>", "config.yaml", running=[training(id="<b>&")], wanted=3, done=1)
    command.write_page(status, page)
    text = page.read_text()
    assert f'<meta http-equiv="refresh" content="{command.PAGE_SECONDS}">' in text
    assert "<title>&lt;digits&gt;: 1 of 3 jobs done</title>" in text
    for words in ("&lt;b&gt;&amp;", "KD + mixup T=2 c=0.5", "1/2 epochs", "no run is working here"):
        assert words in text
    assert "<b>" not in text
    assert "src=" not in text and "href=" not in text


def run(capsys, *arguments):
    assert run_command(command, *arguments) == 0
    return capsys.readouterr().out


def test_live_it_ends_when_all_is_done_or_at_ctrl_c(results, plans, monkeypatch, capsys):
    write_plans(plans, results)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    console = Console(force_terminal=True, width=80, height=50)
    command.follow(Monitor("digits", "config.yaml", plans, results), console, parse(command))
    assert naps == [1, 1, 1]
    assert f"0 of {len(plans)} jobs done" in capsys.readouterr().out
    for plan in plans:
        finish(results, plan)
    command.follow(Monitor("digits", "config.yaml", plans, results), console, parse(command))
    assert len(naps) == 3
    assert f"all {len(plans)} jobs done" in capsys.readouterr().out


def test_a_page_is_written_again_and_again_without_a_terminal(results, plans, monkeypatch, capsys):
    write_plans(plans, results)
    (results / "plan" / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    page, seen = results.parent / "status.html", []

    def sleep(seconds):
        seen.append((seconds, page.read_text()))
        page.unlink()
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    run(capsys, "--html", str(page))
    assert [seconds for seconds, _ in seen] == [command.PAGE_SECONDS] * 2
    assert all("jobs done" in text for _, text in seen)
    assert "digits" in run(capsys, "--once", "--html", str(page))
    assert len(seen) == 2
    assert "jobs done" in page.read_text()


def test_the_command_where_nothing_ran(results, capsys):
    assert run(capsys) == "nothing has run here yet: ./reproduce\n"
    assert json.loads(run(capsys, "--json")) == asdict(Status())
    with pytest.raises(VicinalError, match="nowhere"):
        run(capsys, "nowhere.yaml")
    assert not results.exists()


def test_the_command_shows_the_last_run_and_writes_nothing(results, plans, capsys):
    write_plans(plans, results)
    snapshot = results / "plan" / "config.yaml"
    text = (
        (REPOSITORY / "config.yaml")
        .read_text()
        .replace("seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "seeds: [0, 1]")
        .replace("limit_train: 40", "limit_train: 40, subset: fixed")
    )
    snapshot.write_text(text)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    status = json.loads(run(capsys, "--json"))
    assert (status["name"], status["source"], status["wanted"]) == ("digits", "results/plan/config.yaml", len(plans))
    assert status.keys() == asdict(Status()).keys()
    out = run(capsys, "--once")
    assert out.startswith("digits (config of the last run)\nno run is working here\n")
    assert f"0 of {len(plans)} jobs done" in out
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    (results.parent / "mine.yaml").write_text(text)
    assert "digits (mine.yaml)" in run(capsys, "mine.yaml")
