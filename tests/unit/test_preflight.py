"""What is looked at before the first job: downloads, weights, disks, permissions, GPUs; all that is wrong at once."""

import os
import socket
from collections import namedtuple
from pathlib import Path

import pytest
from gpu_machine import MIG_1, A, B, listing
from https_server import Site, serving
from results_tree import finish

from vicinal.config import validate
from vicinal.data.archive_urls import Archive
from vicinal.data.catalogue import DATA_SETS
from vicinal.jobs import download, gpus
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, resolve
from vicinal.planning.problems import NOTE, WARNING, Problem, reasons
from vicinal.running import preflight
from vicinal.running.preflight import find_problems, full_disks, unwritable

CIFAR = "cifar-10-python.tar.gz"
GRID = {"teachers": ["resnet56"], "students": ["resnet20"], "methods": ["kd"], "temperatures": [1, 2, 4]}
PHOTOS = {"recipe": {"pretrained": True, "epochs": 1}, "data": {"name": "digits", "root": "own"}}
PHOTOS["grids"] = [{"students": ["resnet18_imagenet"], "methods": ["ce"]}]
STATVFS = namedtuple("STATVFS", "f_bavail f_blocks f_bfree f_frsize f_flag")
GB = 10**9


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in an empty folder with a large disk, without GPUs and with a network that has everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "unreachable", lambda urls: {})
    set_free(monkeypatch, 1000 * GB)
    set_gpus(monkeypatch, tmp_path, None)
    # In colour: the networks for photographs take nothing else.
    monkeypatch.setattr("vicinal.running.estimate.shape._DIGITS", (10, (32, 32, 3), 1_797, 0))
    return tmp_path


def set_free(monkeypatch, free):
    monkeypatch.setattr(os, "statvfs", lambda path: STATVFS(free, 2 * free, free, 1, 0))


def set_gpus(monkeypatch, folder, listed, *memory):
    """Let there be the GPUs that nvidia-smi lists, of so many MiB each; None: no nvidia-smi."""
    gpus.list_gpus.cache_clear()
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "PROC", folder / "none")
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    if listed is not None:
        rows = "\n".join(f"{uuid}, {mebibytes}" for uuid, mebibytes in zip((A, B), memory, strict=False))
        script = f'#!/bin/sh\nif [ "$1" = -L ]; then cat <<EOF\n{listed}EOF\nelse cat <<EOF\n{rows}\nEOF\nfi\n'
        (tools / "nvidia-smi").write_text(script)
        (tools / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")


def experiment(name="small", **fields):
    config = {"data": {"name": "cifar10"}, "seeds": [0], "recipe": {"epochs": 1}, "grids": [GRID]}
    return validate({"name": name, **config, **fields}, "test.yaml")[0]


def problems_of(*experiments, slurm=False, done=()):
    """Return what is wrong before a run; jobs of the stages in ``done`` have run."""
    artefacts, execution = resolve(list(experiments), "test.yaml", Path("results"), "all" if experiments[1:] else None)
    plans = list(build_plans(artefacts))
    write_plans(plans, Path("results"))
    for plan in plans:
        if plan.stage in done:
            finish(Path("results"), plan)
    changes = find_changes(plans, Path("results"))
    return find_problems(artefacts, execution, Path("results"), changes, slurm)


def only(problems, *words):
    [problem] = problems
    for word in words:
        assert word in str(problem)
    assert "\n" not in str(problem)
    return problem


def publish(monkeypatch, url, name="cifar10", file=CIFAR):
    archive = DATA_SETS[name].archives[file]
    monkeypatch.setitem(DATA_SETS[name].archives, file, Archive(archive.md5, archive.sha256, archive.size, url))


@pytest.fixture
def ask_really(monkeypatch, trusted):
    """Ask the servers."""
    monkeypatch.setattr(preflight, "unreachable", download.unreachable)


def test_with_everything_there_or_to_be_had_nothing_is_said():
    assert problems_of(experiment()) == []


def test_where_no_job_would_run_nothing_is_asked(monkeypatch):
    for name in ("unreachable", "unwritable", "full_disks", "gpu_problems"):
        monkeypatch.delattr(preflight, name)
    artefacts, execution = resolve([experiment()], "test.yaml", Path("results"))
    assert find_problems(artefacts, execution, Path("results"), {}) == []


@pytest.fixture
def site(monkeypatch, ask_really, trusted):
    """Serve CIFAR-10 over https."""
    with serving(Site({f"/{CIFAR}": b"x" * 5000}), trusted) as running:
        publish(monkeypatch, running.url + CIFAR)
        yield running


def test_a_file_that_a_server_has_is_no_problem_and_not_downloaded(site):
    assert problems_of(experiment()) == []
    assert site.asked == [(f"/{CIFAR}", None)]
    assert not Path("data").exists()


def test_a_file_that_the_server_has_not_is_named(site):
    site.files.clear()
    words = (f"small: data/{CIFAR}: not there", site.url, "404", "copy the file with SHA-256 6d958be0")
    assert only(problems_of(experiment()), *words).experiments == ("small",)


def test_a_file_that_is_there_or_a_store_that_is_made_asks_nobody(site):
    Path("data").mkdir()
    Path("data", CIFAR).write_bytes(b"")
    assert problems_of(experiment()) == []
    Path("data", CIFAR).unlink()
    assert problems_of(experiment(), done=("downloads", "data")) == []
    assert site.asked == []


def test_offline_every_file_is_named(monkeypatch, ask_really):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"https://127.0.0.1:{server.getsockname()[1]}/"
    for file in DATA_SETS["fashion_mnist"].archives:
        publish(monkeypatch, closed + file, "fashion_mnist", file)
    found = problems_of(experiment(data={"name": "fashion_mnist", "root": "elsewhere"}))
    assert len(found) == 4
    assert all("elsewhere/FashionMNIST/raw/" in str(p) and "Connection refused" in str(p) for p in found)


def test_a_file_that_several_need_is_one_problem_of_all(monkeypatch):
    monkeypatch.setattr(preflight, "unreachable", lambda urls: dict.fromkeys(urls, "offline"))
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("/data"))
    Path("data").mkdir()
    data = [{"name": name, "split_seed": seed} for name, seed in (("cifar10", 0), ("cifar10", 1), ("cifar100", 0))]
    found = problems_of(*(experiment(name, data=own) for name, own in zip("abc", data, strict=True)))
    assert [(problem.text.partition(": ")[0], problem.experiments) for problem in found] == [
        (f"data/{CIFAR}", ("a", "b")),
        ("data/cifar-100-python.tar.gz", ("c",)),
        ("data.root", ("a", "b", "c")),
    ]


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch, ask_really):
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        publish(monkeypatch, f"https://127.0.0.1:{server.getsockname()[1]}/{CIFAR}")
        only(problems_of(experiment()), "no answer in 0.2 s")


def test_an_archive_that_is_gone_since_it_was_fetched_is_named():
    only(problems_of(experiment(), done=("downloads",)), f"data/{CIFAR}: not there any more", "results/data/cifar10-")


def photos(size=None, name="resnet18_imagenet"):
    if size is not None:
        path = Path("own/weights", WEIGHTS[name].file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    grids = [{"students": [name], "methods": ["ce"]}]
    return experiment("photos", **PHOTOS | {"grids": grids})


def test_published_weights_are_looked_for(monkeypatch):
    wanted = WEIGHTS["resnet18_imagenet"]
    monkeypatch.setattr(preflight, "unreachable", lambda urls: dict.fromkeys(urls, "Name or service not known"))
    only(problems_of(photos()), f"photos: own/weights/{wanted.file}: not there", wanted.url, "not known")
    only(problems_of(photos(1000)), "damaged or another file (1,000 bytes, not about 46,8", "delete it")
    # As download.pytorch.org has it.
    assert problems_of(photos(46_830_571)) == []


def test_a_size_that_is_not_published_is_taken_with_a_margin():
    name = "resnetv2_50_imagenet"
    assert problems_of(photos(102_439_126, name)) == []  # as torch saves it
    only(problems_of(photos(102_000_000, name)), "damaged or another file (102,000,000 bytes, not about 103,4")


def test_weights_that_are_gone_since_they_were_fetched_are_named():
    only(problems_of(photos(), done=("weights",)), "not there any more", "results/weights/resnet18_imagenet.json")


def test_a_full_disk_is_found_before_it_is_full(monkeypatch):
    set_free(monkeypatch, 300_000_000)
    found = only(problems_of(experiment()), "results: the disk has 300 MB free", "downloads 170 MB", "data 18", "free")
    assert found.experiments == ()
    assert problems_of(experiment(), done=("downloads", "data")) == []


def test_disks_are_counted_each_by_itself(monkeypatch):
    devices = {"results": 1, "data": 2}
    monkeypatch.setattr(Path, "stat", lambda path, real=Path.stat, **o: (
        namedtuple("Stat", "st_dev st_mode")(devices[path.name], real(path).st_mode) if path.name in devices
        else real(path, **o)))  # fmt: skip
    for name in devices:
        Path(name).mkdir()
    downloads = [preflight.Download(Path("data", str(i)), "", 60, "", ("a",)) for i in range(2)]
    set_free(monkeypatch, 100)
    only(full_disks(Path("results"), {"models": 90}, downloads), "data: the disk has 100 B free, about 120 B")
    devices["data"] = 1
    only(full_disks(Path("results"), {"models": 90}, downloads), "about 210 B", "models 90 B, downloads 120 B")


def test_corrupted_images_that_do_not_fit_are_a_warning(monkeypatch):
    set_free(monkeypatch, 2 * GB)
    found = only(problems_of(experiment(evaluation={"corruptions": True})), "too little for corrupted images (2.9 GB)")
    assert found.kind == WARNING


def test_folders_that_may_not_be_written_are_named(monkeypatch, project):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")
    Path("closed").mkdir()
    found = only(problems_of(experiment(data={"name": "cifar10", "root": "closed/data"})), "data.root: closed/data:")
    assert f"{project}/closed may not be written" in found.text
    assert unwritable(Path("closed/results"))[0].text.startswith("closed/results: cannot be written")
    Path("file").write_text("")
    only(unwritable(Path("file")), "is no folder")
    Path("link").symlink_to("gone")
    only(unwritable(Path("link")), "link: cannot be written (a link to gone, which is not there)")


def test_several_problems_are_said_at_once(monkeypatch):
    monkeypatch.setattr(preflight, "unreachable", lambda urls: dict.fromkeys(urls, "offline"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    set_free(monkeypatch, 1000)
    found = problems_of(experiment(), photos(5), experiment("digits", data={"name": "digits"}))
    said = "\n".join(map(str, found))
    for words in ("(offline)", "damaged or", "results: cannot be written", "data.root: data: cannot", "1 kB free"):
        assert words in said
    assert len(found) == 5
    assert reasons(found).keys() == {"small", "photos"}


def gpu_problems(monkeypatch, project, *memory, mig=(), slurm=False, grid=GRID, **execution):
    set_gpus(monkeypatch, project, listing(*(A, B)[: max(1, len(memory))], mig=mig), *memory)
    return problems_of(experiment(execution={"device": "cuda", **execution}, grids=[grid]), slurm=slurm)


def test_the_smallest_gpu_counts(monkeypatch, project):
    assert gpu_problems(monkeypatch, project, 80_000, 80_000) == []
    teacher, student = (found.text for found in gpu_problems(monkeypatch, project, 80_000, 40))
    assert teacher.startswith("resnet56_s0-")
    assert "the smallest GPU has 42 MB" in teacher
    assert student.startswith("resnet20_from_resnet56_s0-")
    assert gpu_problems(monkeypatch, project, 80_000, 40, device="cuda:0") == []
    assert len(gpu_problems(monkeypatch, project, 80_000, 40, device="cuda:1")) == 2
    monkeypatch.setenv(gpus.VISIBLE, A)
    assert problems_of(experiment(execution={"device": "cuda"})) == []


def test_a_cohort_that_does_not_fit_is_a_warning(monkeypatch, project):
    grid = {**GRID, "teachers": ["resnet8"]}  # a student takes 54 MB in training, three of them 161 MB
    found = only(gpu_problems(monkeypatch, project, 115, grid=grid), "3 at once take about 161 MB", "cohort is halved")
    assert found.kind == WARNING
    assert gpu_problems(monkeypatch, project, 115, grid=grid, cohort_size=2) == []
    shared = gpu_problems(monkeypatch, project, 115, grid=grid, cohort_size=2, gpu_slots=2)
    only(shared, "121 MB, and 2 jobs share it (execution.gpu_slots)")


def test_what_is_not_known_of_a_gpu_is_not_judged(monkeypatch, project):
    assert gpu_problems(monkeypatch, project, 10, mig=(MIG_1,)) == []
    assert gpu_problems(monkeypatch, project) == []
    assert gpu_problems(monkeypatch, project, 10, device="cpu") == []
    assert only(gpu_problems(monkeypatch, project, 10, slurm=True), "cluster's GPUs are not known").kind == NOTE


def test_a_gpu_that_is_not_there_is_missed(monkeypatch, project):
    only(gpu_problems(monkeypatch, project, 80_000, device="cuda:3"), "execution.device: cuda:3", "1 GPU may be used")
    monkeypatch.setenv(gpus.VISIBLE, "")
    only(problems_of(experiment(execution={"device": "cuda"})), "0 GPUs", "CUDA_VISIBLE_DEVICES=''")
    assert problems_of(experiment(execution={"device": "auto"})) == []


def test_reasons_are_given_by_experiment():
    problems = [Problem("full"), Problem("gone", ("a", "b")), Problem("slow", ("c",), WARNING), Problem("old", ("a",))]
    assert reasons(problems) == {"a": "gone; old", "b": "gone"}
