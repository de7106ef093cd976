"""Measuring on corrupted images adds its own jobs alone; an archive that comes later reruns what was left out."""

import json
import os
import shutil

import pytest
from dependencies import changed
from finished import BASE, artefacts_of, dry_runs, finish, write_squares

from vicinal.data.corruptions.catalogue import ARCHIVES

# Of CIFAR-10 corrupted images are published; a dry run does not look into the images.
OFF = changed(changed(BASE, "data.name", "cifar10"), "data.validation", 4)
ON = changed(OFF, "evaluation.corruptions", True)
ANALYSIS = {"aggregate": 1, "judge_claims": 1, "plot_figures": 1, "make_report": 1}
# Two seeds of two teachers, and the teacher of the second block.
MEASUREMENTS = 2 * 2 + 1


@pytest.fixture(scope="module")
def off(project, tmp_path_factory):
    """A project in which the experiment without corrupted images is finished; to be copied."""
    folder = tmp_path_factory.mktemp("off") / "project"
    shutil.copytree(project, folder)
    write_squares(folder / "data" / "cifar10")
    finish(artefacts_of(OFF, folder), folder / "results")
    return folder


@pytest.fixture
def folder(off, tmp_path):
    """A copy in which the experiment with corrupted images is finished; there were none."""
    folder = tmp_path / "project"
    shutil.copytree(off, folder)
    finish(artefacts_of(ON, folder), folder / "results")
    return folder


def jobs(folder, config=ON):
    [answer] = dry_runs(folder, [{"config": config}])
    assert answer["planned"] == answer["snakemake"]
    found: dict[str, int] = {}
    for rule, _ in answer["snakemake"]:
        found[rule] = found.get(rule, 0) + 1
    return found, answer


def test_asking_for_them_measures_on_them_and_does_nothing_else(off):
    assert jobs(off, OFF)[0] == {}
    found, answer = jobs(off)
    assert found == ANALYSIS | {"fetch_corruptions": 1, "evaluate_corruptions": MEASUREMENTS}
    assert answer["trained"] == []


def test_an_archive_that_comes_later_is_measured_on_once(folder):
    assert jobs(folder)[0] == {}
    archive = folder / "data" / ARCHIVES["cifar10"].file
    archive.write_bytes(b"not looked at in a dry run")
    found, answer = jobs(folder)
    assert found == ANALYSIS | {"fetch_corruptions": 1, "evaluate_corruptions": MEASUREMENTS}
    assert "another archive of corrupted images" in answer["reasons"]
    finish(artefacts_of(ON, folder), folder / "results")
    assert jobs(folder)[0] == {}


def test_what_becomes_of_the_archive_afterwards_runs_nothing(folder):
    archive = folder / "data" / ARCHIVES["cifar10"].file
    archive.write_bytes(b"there")
    artefacts = artefacts_of(ON, folder)
    finish(artefacts, folder / "results")
    [(store, state)] = artefacts.corruptions.items()
    record = folder / "results" / "data" / f"{store}.corruptions.json"
    status = record.stat()
    record.write_text(json.dumps({"available": True, "archive_state": state}))
    os.utime(record, ns=(status.st_atime_ns, status.st_mtime_ns))
    archive.unlink()
    assert jobs(folder)[0] == {}


def test_without_them_again_runs_the_tables_alone(folder):
    assert jobs(folder, OFF)[0] == ANALYSIS


def test_a_new_temperature_is_measured_on_them_too(folder):
    found, answer = jobs(folder, changed(ON, "grids.0.temperatures", [2, 4, 8]))
    assert found == ANALYSIS | {"distill": 4, "evaluate": 4, "evaluate_corruptions": 4}
    assert len(answer["trained"]) == 8


@pytest.mark.parametrize("name", ["scripts/evaluate_corruptions.py", "vicinal/data/corruptions/arrays.py"])
def test_their_code_reruns_no_other_measurement(folder, name):
    with (folder / "workflow" / name).open("a") as file:
        file.write("\n_ADDED = 1\n")
    assert jobs(folder)[0] == ANALYSIS | {"evaluate_corruptions": MEASUREMENTS}
