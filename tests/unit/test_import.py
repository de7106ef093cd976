"""Import: whole results that are missing here come over, with their times; anything else is named and stays there."""

import fcntl
import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from results_tree import make_tree

from vicinal.changes import find_changes
from vicinal.commands import import_results
from vicinal.errors import VicinalError
from vicinal.files import sha256, write_json
from vicinal.importing import copying, find_results, survey_results
from vicinal.lease import lease
from vicinal.planfiles import write_plans

RESULTS = Path("results")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    results = tmp_path_factory.mktemp("made") / "results"
    return results, make_tree(results)


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    """The other project's folder, from a project in which nothing has run yet."""
    shutil.copytree(made[0].parent, tmp_path / "there")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "there"


def run(folder, dry_run=False):
    return import_results.main(Namespace(folder=folder, dry_run=dry_run, all=True))


def files(results):
    ignored = (".lock", ".json.lock")
    return {
        path.relative_to(results): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.name not in ignored
    }


def first(folder, pattern):
    return sorted((folder / "results").glob(pattern))[0]


def edit(path, **fields):
    write_json(path, {**json.loads(path.read_text()), **fields})


def test_everything_comes_over_with_its_times(made, there, capsys):
    assert run(there) == 0
    assert files(RESULTS) == files(there / "results")
    out = capsys.readouterr().out
    assert "imported: 1 data store, 1 teacher, 3 students, 2 cohorts, 4 measured models, 3 evaluations, " in out
    plans = made[1]
    assert write_plans(plans, RESULTS) == {}
    assert find_changes(plans, RESULTS) == {}


def test_again_nothing_is_imported(there, capsys):
    run(there / "results")
    before = files(RESULTS)
    capsys.readouterr()
    assert run(there) == 0
    assert files(RESULTS) == before
    out = capsys.readouterr().out
    assert "nothing imported" in out
    assert "here already: 1 data store, 1 teacher, 3 students, 2 cohorts, 4 measured models" in out


def test_a_dry_run_changes_nothing(there, capsys):
    assert run(there, dry_run=True) == 0
    assert not RESULTS.exists()
    out = capsys.readouterr().out
    assert out.count("would import students/") == 3
    assert "to import: 1 data store" in out


def test_what_is_missing_is_added_to_what_is_here(made, there):
    run(there)
    gone = sorted(RESULTS.glob("students/*_t1_*"))[0]
    shutil.rmtree(gone)
    assert run(there) == 0
    assert files(RESULTS) == files(there / "results")


def test_outputs_older_than_what_is_here_get_its_time(made, there):
    shutil.copytree(first(there, "data/*"), RESULTS / "data" / first(there, "data/*").name)
    [data] = RESULTS.glob("data/*/data.json")
    later = data.stat().st_mtime_ns + 3_600_000_000_000
    os.utime(data, ns=(later, later))
    assert run(there) == 0
    assert find_changes(made[1], RESULTS) == {}
    assert [path.stat().st_mtime_ns for path in RESULTS.glob("teachers/*/teacher.json")] == [later]


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        # of which stages how many directories do not come over
        ("students/*_t1_*/weights.safetensors", {"students": 1, "cohorts": 1, "evaluations": 0}),
        ("teachers/*/model/weights.safetensors", {"teachers": 1, "students": 2, "cohorts": 1, "evaluations": 2}),
        ("evaluations/*from*/*/measures.parquet", {"evaluations": 0}),
        ("data/*/images.npy", {"data": 1}),
    ],
)
def test_what_is_damaged_there_is_named_and_the_rest_comes(there, capsys, pattern, missing):
    path = first(there, pattern)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run(there) == 1
    out = capsys.readouterr().out
    assert f"{path}: its checksum is not the one in " in out
    assert "not imported" in out
    for stage, number in missing.items():
        count = [len(list((results / stage).glob("*"))) for results in (there / "results", RESULTS)]
        assert count[0] - count[1] == number, stage
    damaged = RESULTS / path.relative_to(there / "results")
    assert not damaged.exists()


@pytest.mark.parametrize(
    ("pattern", "fields", "says"),
    [
        ("students/*/model.json", {"spec": {}}, "its id or spec is not that of its directory"),
        ("students/*/model.json", {"id": "../../evil"}, "its id or spec is not that of its directory"),
        ("students/*/model.json", {"sha256": {"../weights.safetensors": "0"}}, "lists no checksums"),
        ("students/*/model.json", {"sha256": {"/etc/passwd": "0"}}, "lists no checksums"),
        ("students/*/model.json", {"data_sha256": "0"}, "made from another digits-"),
        ("students/*from*/model.json", {"teacher_sha256": "0"}, "learned from another resnet8_s0-"),
        ("teachers/*/teacher.json", {"weights_sha256": "0"}, "made from other weights"),
        ("cohorts/*/manifest.json", {"students": {"../../evil": "0"}}, "lists something else than ids"),
        ("evaluations/*/manifest.json", {"models": {"/evil": "0"}}, "lists something else than ids"),
        ("evaluations/*/*/evaluation.json", {"id": "x"}, "its id or spec is not that of its directory"),
        ("evaluations/*/*/evaluation.json", {"spec": {}}, "its id or spec is not that of its directory"),
        (
            "evaluations/*from*/*/evaluation.json",
            {"sha256": {}},
            "no checksum of measures.parquet, predictions.parquet:",
        ),
        ("evaluations/resnet8_s0*/*/evaluation.json", {"sha256": {}}, "predictions.parquet, similarity.parquet:"),
        ("data/*/meta.json", {"spec": {"name": "x"}}, "its spec is not that of its id"),
        ("data/*/meta.json", {"sha256": "0"}, "its checksum of all content"),
    ],
)
def test_a_record_that_does_not_agree_is_refused(there, capsys, pattern, fields, says):
    path = first(there, pattern)
    edit(path, **fields)
    assert run(there) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(path))]
    assert any(says in line for line in lines), lines
    assert not (RESULTS / path.relative_to(there / "results")).exists()
    assert not list(RESULTS.parent.glob("evil*"))


@pytest.mark.parametrize("pattern", ["students/*/model.json", "data/*/images.npy", "teachers/*/model", "evaluations"])
def test_symbolic_links_are_refused(there, tmp_path, capsys, pattern):
    path = first(there, pattern)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert run(there) == 1
    assert f"{path}: a symbolic link; not imported" in capsys.readouterr().out
    assert not (RESULTS / path.relative_to(there / "results")).exists()


def test_foreign_files_stay_there(there, capsys):
    path = first(there, "students/*") / "virus.sh"
    path.write_text("x")
    assert run(there) == 0
    assert f"note: {path}: a foreign file, not imported" in capsys.readouterr().out
    assert not list(RESULTS.rglob("virus.sh"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"id": 3, "spec": [], "sha256": {}}', '{"students": 3, "models": 3}']
)
def test_records_that_are_none_are_named_and_end_nothing(there, content):
    for path in there.rglob("*.json"):
        path.write_text(content)
    assert run(there) == 1
    assert not list(RESULTS.glob("students/*"))


def test_another_result_of_one_id_is_a_conflict_and_ours_stays(there, capsys):
    run(there)
    weights = first(there, "students/*_t1_*/weights.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    record = weights.with_name("model.json")
    edit(record, sha256={**json.loads(record.read_text())["sha256"], weights.name: sha256(weights)})
    before = files(RESULTS)
    capsys.readouterr()
    assert run(there) == 1
    assert files(RESULTS) == before
    out = capsys.readouterr().out
    assert f"{weights.parent}: another {weights.parent.name} than the one here; kept what is here" in out
    assert "conflicts: 1, kept what is here" in out


def test_students_of_another_teacher_stay_there(there, capsys):
    run(there)
    for stage in ("students", "cohorts", "evaluations"):
        shutil.rmtree(RESULTS / stage)
    model = next(RESULTS.glob("teachers/*/model"))
    sums = json.loads((model / "model.json").read_text())["sha256"]
    edit(model / "model.json", sha256={**sums, "weights.safetensors": "0"})
    assert run(there) == 1
    assert [path.name for path in RESULTS.glob("students/*from*")] == []
    assert len(list(RESULTS.glob("students/*"))) == 1
    assert "learned from another resnet8_s0-" in capsys.readouterr().out


def test_what_a_job_works_on_here_is_left_to_it(there, capsys):
    [cohort] = [path.name for path in (there / "results/cohorts").glob("*from*")]
    with lease(RESULTS, cohort):
        assert run(there) == 1
    assert "a job is working on it here" in capsys.readouterr().out
    assert not list(RESULTS.glob("students/*from*"))


def test_results_of_other_code_are_imported_and_said(there, capsys):
    edit(first(there, "students/*/model.json"), code="0" * 16)
    assert run(there) == 0
    out = capsys.readouterr().out
    assert "note: 1 student made by other code than this: ./reproduce plan" in out
    assert "--accept-code" in out


def test_a_full_disk_is_seen_before(there, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(VicinalError, match=r"to import, 1\.0 kB free; make room"):
        run(there)
    assert not list(RESULTS.glob("students/*"))


def test_an_import_that_is_cut_off_leaves_no_half_result(there, monkeypatch):
    units = survey_results(there / "results", RESULTS).units
    original, seen = copying._copy, 0
    for number in range(1, sum(len(unit.files) for unit in units) + 1):
        copies = []

        def cut_off(source, target, number=number, copies=copies):
            copies.append(target)
            if len(copies) == number:
                raise KeyboardInterrupt
            original(source, target)

        monkeypatch.setattr(copying, "_copy", cut_off)
        with pytest.raises(KeyboardInterrupt):
            list(copying.copy_units(there / "results", RESULTS, units))
        students = list(RESULTS.glob("students/*"))
        for folder in students:
            assert {path.name for path in folder.iterdir()} == {"history.parquet", "model.json", "weights.safetensors"}
        seen = max(seen, len(students))
        shutil.rmtree(RESULTS, ignore_errors=True)
    assert seen == 3
    monkeypatch.setattr(copying, "_copy", original)
    assert survey_results(there / "results", RESULTS).findings.problems == []


def test_which_folder_is_meant(there, tmp_path):
    results = there / "results"
    assert find_results(there, RESULTS) == find_results(results, RESULTS) == results
    (tmp_path / "empty").mkdir()
    for folder, says in ((tmp_path / "no", "no such folder"), (tmp_path / "empty", "no results in it")):
        with pytest.raises(VicinalError, match=says):
            find_results(folder, RESULTS)
    with pytest.raises(VicinalError, match="these are the results of this project"):
        find_results(there, results)


def test_a_run_refuses_it(there):
    RESULTS.mkdir()
    with (RESULTS / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(VicinalError, match="another run is working here"):
            run(there)
