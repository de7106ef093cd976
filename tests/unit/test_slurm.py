"""What jobs ask a cluster for, and how the settings of a cluster are read."""

import json
import shlex
import subprocess
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vicinal.config import Cluster, read_cluster, validate
from vicinal.errors import VicinalError
from vicinal.running import slurm
from vicinal.running.slurm import Requests, ask_slurm, deadline_options, find_queued, find_status_options, with_cluster

SETTINGS = {"partition": "gpu", "account": "a1", "gpu_type": "h100", "mem_mb": 1000, "max_mem_mb": 3000}


def plan(results, minutes=None, after=None):
    slurm.write_planned(results, minutes or {}, after or {})


def requests(tmp_path, on_gpu=True, **settings):
    return Requests(Cluster(**{**SETTINGS, "max_minutes": 100, **settings}), on_gpu, tmp_path)


def test_on_one_machine_jobs_ask_for_nothing(tmp_path):
    assert Requests(None, True, tmp_path).resources("cohorts") == {}
    assert deadline_options({}) == []


def test_time_and_memory_double_at_every_attempt_up_to_their_limits(tmp_path):
    plan(tmp_path, {"cohorts/c-1": 30})
    resources = requests(tmp_path).resources("cohorts")
    asked = [[resources[name](["c-1"], attempt) for attempt in (1, 2, 3)] for name in ("runtime", "mem_mb")]
    assert asked == [[30, 60, 100], [1000, 2000, 3000]]
    assert resources["runtime"](["not-planned"], 1) == 100
    assert (resources["slurm_partition"], resources["slurm_account"]) == ("gpu", "a1")


def test_how_a_gpu_is_asked_for(tmp_path):
    def asked(**settings):
        found = requests(tmp_path, **settings)
        resources = found.resources("cohorts")
        return found.gpus, resources.get("gpu_model"), resources.get("gres")

    assert asked() == (1, "h100", None)
    assert asked(gpu_type=None) == (1, None, None)
    assert asked(gpu_type=None, gres="gpu:h100:1") == (0, None, "gpu:h100:1")
    assert asked(on_gpu=False) == asked(on_gpu=False, gpu_type=None, gres="gpu:1") == (0, None, None)


def test_how_memory_is_asked_for(tmp_path):
    def asked(**settings):
        resources = requests(tmp_path, **settings).resources("cohorts")
        return {name: ask for name, ask in resources.items() if name.startswith("mem")}

    by_core = asked(mem_per_cpu=True)
    assert by_core.keys() == {"mem_mb_per_cpu"}
    assert [by_core["mem_mb_per_cpu"](["c-1"], attempt, 3) for attempt in (1, 2, 3)] == [334, 667, 1000]
    assert asked().keys() == {"mem_mb"}
    assert asked(mem_mb=None) == asked(mem_mb=None, mem_per_cpu=True) == {}


@pytest.mark.parametrize(("runtime", "deadline"), [(1, "0.5"), (4, "2"), (10, "8"), (1440, "1438")])
def test_a_trainer_stops_before_the_time_limit(runtime, deadline):
    assert deadline_options({"runtime": runtime}) == ["--deadline-minutes", deadline]


def test_a_job_waits_for_the_one_of_an_earlier_run_at_its_first_attempt(tmp_path):
    plan(tmp_path, after={"cohorts/c-1": ["12", "13"]})
    flags = requests(tmp_path, extra=["--exclude=n1"]).resources("cohorts")["slurm_extra"]
    assert flags(["c-1"], 1) == "--exclude=n1 --dependency=afterany:12:13"
    assert flags(["c-1"], 2) == flags(["c-2"], 1) == "--exclude=n1"


def test_a_job_in_the_queue_keeps_the_time_it_was_submitted_with(tmp_path):
    plan(tmp_path, {"cohorts/c-1": 30, "cohorts/c-2": 30})
    plan(tmp_path, {"cohorts/c-1": 9, "cohorts/c-2": 9}, after={"cohorts/c-1": ["12"]})
    assert slurm.read_planned(tmp_path)["minutes"] == {"cohorts/c-1": 30, "cohorts/c-2": 9}


@settings(max_examples=40)
@given(st.one_of(st.text(), st.from_regex(r"--[a-z]+=[^\n]*", fullmatch=True)))
def test_a_flag_is_refused_or_reaches_sbatch_as_it_is(flag):
    try:
        cluster = Cluster(extra=[flag])
    except ValueError as error:
        assert "extra" in str(error)
        return
    quoted = Requests(cluster, True).flags("cohorts", "c-1", 1)
    assert shlex.split(quoted) == [flag]
    # as the executor hands it to a shell
    printed = subprocess.run(f"printf '%s' {quoted}", shell=True, capture_output=True, check=True).stdout.decode()
    assert printed == flag


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("partition", "gpu; touch HACKED", "use letters"),
        ("account", "$(id)", "use letters"),
        ("gpu_type", "-h100", "use letters"),
        ("constraint", "a100 b", "must be features that a node must have"),
        ("extra", ["-p gpu"], "by its long name"),
        ("extra", ["--partition=gpu"], "set cluster.partition instead"),
        ("extra", ["--mem=4G"], "set cluster.mem_mb instead"),
        ("extra", ["--gres=gpu:2"], "set cluster.gres instead"),
        ("extra", ["--mem-per-cpu=2000"], "set cluster.mem_per_cpu instead"),
        ("extra", ["--gpus-per-node=1"], "the workflow sets it"),
        ("gres", "gpu:1 --wrap=x", "as --gres asks for it"),
        ("extra", ["--cpus-per-gpu=4"], "the workflow sets it"),
        ("max_minutes", 0, "must be at least 1"),
        ("mem_mb", 100_000, "is more than max_mem_mb"),
        ("partitions", "gpu", "did you mean partition"),
        (None, {"gres": "gpu:1", "gpu_type": "h100"}, "gres and gpu_type: give one of them, e.g. gres: gpu:h100:1"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(config, field, value, says):
    with pytest.raises(VicinalError, match=says) as told:
        validate({**config, "cluster": {field: value} if field else value}, "here")
    assert len(str(told.value).splitlines()) == 1
    assert str(told.value).startswith("here: cluster")


def test_settings_of_the_site_an_experiment_and_one_run(config, tmp_path):
    site = tmp_path / "cluster.yaml"
    site.write_text("partition: gpu\naccount: shared\nmax_minutes: 60\n")
    experiments = validate({**config, "cluster": {"account": "mine"}}, "here", ["cluster.max_minutes=5"])
    [found] = with_cluster(experiments, True, site)
    assert found.cluster == Cluster(partition="gpu", account="mine", max_minutes=5)
    [local] = with_cluster(experiments, False, site)
    assert local.cluster is None


def test_the_file_for_the_site_holds_every_field_at_its_default():
    shipped = slurm.Path(__file__).resolve().parents[2] / slurm.SITE
    assert read_cluster(shipped) == Cluster()
    assert read_cluster(shipped).model_fields_set == set(Cluster.model_fields)


def test_jobs_of_this_folder_are_found_by_their_names(monkeypatch, tmp_path):
    name = f"{slurm.job_prefix('my.digits', tmp_path)}_6907ab6e"
    other = f"{slurm.job_prefix('my.digits', tmp_path / 'other')}_6907ab6e"
    comment = "rule_distill_wildcards_c-1"
    lines = f"12|{name}|{comment}\n13|{other}|{comment}\n14|{name}|rule_train_teacher_wildcards_t-1\n"
    lines += f"15|{name}|{comment}\n16|{name}|rule_other_wildcards_c-1\n17|{name}|my own\n"
    monkeypatch.setattr(slurm, "ask_slurm", lambda *command: lines)
    assert find_queued(tmp_path) == {"cohorts/c-1": ["12", "15"], "teachers/t-1": ["14"]}
    assert len(slurm.job_prefix("x" * 64, tmp_path)) <= 50


def fails(error):
    def run(*arguments, **options):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(), "--slurm: squeue: no such program; start it where Slurm's programs work"),
        (subprocess.TimeoutExpired("squeue", 60), "--slurm: squeue: no answer in 60 s"),
        (
            subprocess.CalledProcessError(1, "squeue", stderr="x\nslurm_load_jobs error: down\n"),
            "squeue: slurm_load_jobs error: down",
        ),
    ],
)
def test_a_slurm_that_does_not_answer(error, says):
    with pytest.raises(VicinalError, match=says):
        ask_slurm("squeue", run=fails(error))


@pytest.mark.parametrize(
    ("sacct", "age", "setting", "options"),
    [
        (True, "300 sec", None, "sacct"),
        (True, "300 sec", True, "sacct"),
        (True, "300 sec", False, "squeue 20"),
        (False, "300 sec", None, "squeue 20"),
        (False, "30 sec", None, "squeue 10"),
        (False, "2 sec", None, "squeue 1"),
        (False, "0 sec", False, "squeue 20"),
    ],
)
def test_how_the_end_of_a_job_is_found_out(monkeypatch, sacct, age, setting, options):
    def answer(*command):
        if command[0] == "sacct" and not sacct:
            raise VicinalError("--slurm: sacct: Slurm accounting storage is disabled")
        return f"A = 1\nMinJobAge               = {age}\n"

    monkeypatch.setattr(slurm, "ask_slurm", answer)
    command, _, seconds = options.partition(" ")
    wanted = ["--slurm-status-command", command]
    wanted += ["--slurm-init-seconds-before-status-checks", seconds] if seconds else []
    assert find_status_options(Cluster(accounting=setting)) == wanted
    if not sacct:
        with pytest.raises(VicinalError, match=r"sacct: .* disabled; or set cluster.accounting"):
            find_status_options(Cluster(accounting=True))


def test_a_python_that_snakemake_would_not_find(monkeypatch):
    monkeypatch.setattr(slurm.sys, "executable", "/home/me/two words/.venv/bin/python")
    with pytest.raises(VicinalError, match=r"two words/.venv/bin/python: Snakemake does not quote .* without spaces"):
        slurm.prepare_cluster(None, None, "x", 2, slurm.Path("results"))


@pytest.mark.parametrize(
    ("minutes", "settings", "says"),
    [
        ({}, {}, "cluster: the default partition; no job to submit"),
        ({"a": 6, "b": 6}, {}, "the default partition; each job at first: 6 minutes, 8000 MB; 100 jobs at a time"),
        (
            {"a": 6, "b": 999},
            {"max_minutes": 90, "partition": "gpu"},
            "partition gpu; each job at first: 6 to 90 minutes,",
        ),
        ({"a": 6}, {"mem_mb": None, "max_jobs": 5}, "6 minutes, no memory asked for; 5 jobs at a time"),
    ],
)
def test_what_is_said_of_the_jobs(minutes, settings, says):
    assert says in slurm._describe(Cluster(**settings), minutes)


def test_long_trainings_get_as_many_attempts_as_their_time_needs(monkeypatch, tmp_path, capsys):
    (tmp_path / "plan").mkdir()
    monkeypatch.setattr(slurm, "ask_slurm", lambda *command: "")
    monkeypatch.setattr(slurm, "estimate_minutes", lambda *arguments: {"cohorts/c-1": 250, "teachers/t-1": 10})
    study = SimpleNamespace(experiment=SimpleNamespace(cluster=Cluster(max_minutes=100)))
    artefacts = SimpleNamespace(studies={"x": study})
    arguments = slurm.prepare_cluster(artefacts, None, "x", 2, tmp_path)
    assert arguments[arguments.index("--retries") + 1] == "5"
    assert arguments[arguments.index("--slurm-status-command") + 1] == "sacct"
    said = capsys.readouterr().out
    assert "10 to 100 minutes" in said
    assert f"| grep {arguments[arguments.index('--slurm-jobname-prefix') + 1]}\n" in said
    assert json.loads((tmp_path / "plan/cluster.json").read_text())["minutes"] == {
        "cohorts/c-1": 250,
        "teachers/t-1": 10,
    }
