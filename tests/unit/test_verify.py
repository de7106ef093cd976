"""Verification: whatever does not agree is named, file by file, and nothing else is."""

import json

import pytest
from results_tree import MADE, edit

from vicinal.audit.verify.artefacts import verify
from vicinal.audit.verify.findings import SHOWN, Ledger
from vicinal.audit.verify.layout import foreign_files
from vicinal.audit.verify.mixtures import mixture_notes
from vicinal.files import sha256, write_json
from vicinal.jobs.plan import record_key
from vicinal.planning.plans import Plan


def test_a_whole_tree_has_no_problem(tree):
    results, plans = tree
    ledger = verify(plans, results)
    assert ledger.problems == []
    assert ledger.models == 4
    assert mixture_notes(ledger.made) == []


@pytest.mark.parametrize(
    "file",
    [
        "data/*/images.npy", "data/*/splits.parquet", "teachers/*/model/weights.safetensors",
        "students/*/weights.safetensors", "students/*/history.parquet", "evaluations/*/*/measures.parquet",
    ],
)  # fmt: skip
def test_a_changed_byte_is_one_problem(tree, file):
    results, plans = tree
    path = sorted(results.glob(file))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    [problem] = verify(plans, results).problems
    assert problem.path == path
    assert "checksum" in problem.fault
    assert str(problem).endswith("run ./reproduce")


@pytest.mark.parametrize(
    "file",
    ["students/*/weights.safetensors", "students/*/history.parquet", "data/*/labels.npy", "teachers/*/teacher.json"],
)
def test_a_missing_file_is_named(tree, file):
    results, plans = tree
    path = sorted(results.glob(file))[0]
    path.unlink()
    assert path in [problem.path for problem in verify(plans, results).problems if problem.kind == "missing"]


@pytest.mark.parametrize(
    ("file", "field", "value", "says"),
    [
        ("students/*/model.json", "code", "0" * 16, "its code is not the one that is wanted (0000"),
        ("students/*/model.json", "spec", {}, "its spec is not"),
        ("students/*/model.json", "data_sha256", "0", "its data_sha256 is not that of what lies here"),
        ("students/*from*/model.json", "teacher_sha256", "0", "its teacher_sha256 is not"),
        ("students/*/model.json", "sha256", {}, "lists no checksums of weights.safetensors, history.parquet"),
        ("teachers/*/model/model.json", "id", "another", "its id is not the one that is wanted (another, wanted "),
        ("teachers/*/teacher.json", "weights_sha256", "0", "its weights_sha256 is not"),
        ("cohorts/*/manifest.json", "students", {}, "does not list"),
        ("evaluations/*/*/evaluation.json", "weights_sha256", "0", "its weights_sha256 is not"),
        ("evaluations/*/*/evaluation.json", "teacher_sha256", "0", "its teacher_sha256 is not"),
        ("evaluations/*/*/evaluation.json", "sha256", {}, "lists no checksums of measures.parquet, predictions.parqu"),
        ("evaluations/*/manifest.json", "models", {"x-00000000": "0"}, "lists x-00000000, which is not wanted"),
        ("data/*/meta.json", "sha256", "0", "its checksum of all content"),
        ("data/*/data.json", "images", 3, "its images is not the one that is wanted"),
        ("data/*/provenance.json", "code", "0", "its code is not the one that is wanted (0, "),
    ],
)
def test_an_edited_record_is_named(tree, file, field, value, says):
    results, plans = tree
    path = sorted(results.glob(file))[0]
    edit(path, **{field: value})
    faults = [problem.fault for problem in verify(plans, results).problems if problem.path == path]
    assert any(says in fault for fault in faults), faults


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 3}', '{"sha256": {"../../x": "0"}}'])
def test_a_record_that_is_none_is_named_and_ends_nothing(tree, content):
    results, plans = tree
    for path in results.glob("**/*.json"):
        if "plan" not in path.relative_to(results).parts:
            path.write_text(content)
    problems = verify(plans, results).problems
    assert {problem.path.name for problem in problems} >= {"model.json", "meta.json", "manifest.json"}
    if '"' not in content:  # what the record would list is not foreign
        assert {problem.kind for problem in problems} == {"damaged"}


def test_a_retrained_teacher_is_found_by_its_students(tree):
    results, plans = tree
    [teacher] = results.glob("teachers/*")
    weights = teacher / "model/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    record = teacher / "model/model.json"
    sums = json.loads(record.read_text())["sha256"]
    edit(record, sha256={**sums, "weights.safetensors": sha256(weights)})
    edit(teacher / "teacher.json", weights_sha256=sha256(weights))
    named = {
        problem.path.parent.name for problem in verify(plans, results).problems if "teacher_sha256" in problem.fault
    }
    assert {path.name for path in results.glob("students/*from*")} <= named


def test_a_stale_evaluation_of_older_code_is_stale_and_nothing_more(tree):
    results, plans = tree
    plan = next(plan for plan in plans if plan.stage == "evaluations")
    record_key(results / plan.output, {**plan.content, "key": "older", "code": "0"})
    folder = results / plan.directories[0]
    (folder / "measures.parquet").rename(folder / "metrics.parquet")
    sums = {path.name: sha256(path) for path in folder.glob("*.parquet")}
    edit(folder / "evaluation.json", code="0", sha256=sums)
    [problem] = verify(plans, results).problems
    assert (problem.path, problem.kind) == (results / plan.output, "stale")


def test_stale_and_missing_outputs(tree):
    results, plans = tree
    cohort = next(plan for plan in plans if plan.stage == "cohorts")
    record_key(results / cohort.output, {**cohort.content, "key": "other", "upstream": {}})
    [problem] = verify(plans, results).problems
    assert (problem.kind, problem.remedy) == ("stale", "run ./reproduce")
    (results / cohort.output).unlink()
    [problem] = verify(plans, results).problems
    assert str(problem) == f"{results / cohort.output}: missing; run ./reproduce"


def test_the_record_of_published_weights(tmp_path):
    spec = {"name": "resnet18_imagenet", "url": "https://example.org/resnet18.pth", "sha256": "5c106cde"}
    plan = Plan(
        "weights", spec["name"], {"stage": "weights", "id": spec["name"], "spec": spec, "upstream": {}, "key": "k"}
    )
    path = tmp_path / plan.output
    write_json(path, {"url": spec["url"], "sha256": "5c106cde" + "0" * 56})
    record_key(path, plan.content)
    assert verify([plan], tmp_path).problems == []
    edit(path, sha256="0" * 64)
    [problem] = verify([plan], tmp_path).problems
    assert (problem.path, problem.fault) == (path, "of other weights than are published")


def test_foreign_files_and_left_overs(tree):
    results, plans = tree
    student = sorted(results.glob("students/*"))[0]
    foreign = [results / "students/notes.txt", student / "copy.parquet", results / "data/x/y.bin"]
    orphan = results / "students/orphan-12345678/weights.safetensors"
    left = results / "students/.tmp-abc-1234/weights.safetensors"
    for path in [*foreign, orphan, left]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    problems = verify(plans, results).problems
    assert {problem.path for problem in problems} == {*foreign, orphan}
    assert {problem.kind for problem in problems} == {"foreign"}


def test_what_the_workflow_makes_is_not_foreign(tmp_path):
    id_ = "x_s0-12345678"
    made = [
        f"data/{id_}/data.json", f"data/{id_}/data.json.key", f"data/{id_}/meta.json", f"data/{id_}/bad_files.txt",
        f"data/{id_}.fetched.json.key", f"data/{id_}.corruptions.json", f"teachers/{id_}/teacher.json.key",
        f"teachers/{id_}/train.log", f"teachers/{id_}/benchmark.tsv", f"teachers/{id_}/model/model.json",
        f"cohorts/{id_}/distill.log", f"cohorts/{id_}/diverged/{id_}.safetensors", f"cohorts/{id_}/manifest.json",
        f"evaluations/{id_}/evaluate.log", f"robustness/{id_}/{id_}/evaluation.json", f"students/{id_}/model.json",
        "digits/provenance.json", "digits/metrics.parquet.key", "digits/claims.json", "digits/claims.parquet.key",
        "digits/report.json", "digits/report.html.key", "digits/figures/plane.json",
        "digits/figures/temperature.pdf.key",
    ]  # fmt: skip
    foreign = [
        "data/meta.json", f"teachers/{id_}/model.json", f"students/{id_}/train.log", f"students/{id_}/teacher.json",
        f"cohorts/{id_}/{id_}/manifest.json", "students/report.json", "evaluations/claims.json", "digits/meta.json",
        "digits/figures/mine.json", "digits/metricsXparquet.key", "digits/sub/report.json",
    ]  # fmt: skip
    for name in made + foreign:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = [path for folder in sorted(tmp_path.iterdir()) for path in foreign_files(folder)]
    assert {str(path.relative_to(tmp_path)) for path in found} == set(foreign)


def test_a_damaged_student_of_a_stale_cohort_is_named(tree):
    results, plans = tree
    cohort = next(plan for plan in plans if plan.stage == "cohorts")
    record_key(results / cohort.output, {**cohort.content, "key": "other", "upstream": {}})
    weights = results / cohort.directories[0] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert {(problem.path, problem.kind) for problem in verify(plans, results).problems} == {
        (results / cohort.output, "stale"),
        (weights, "damaged"),
    }


def test_mixtures_are_counted(tree):
    results, plans = tree
    student = sorted(results.glob("students/*from*/model.json"))[0]
    packages = {**MADE["packages"], "torch": "2.13"}
    code = json.loads(student.read_text())["code"]
    entry = {"date": "2026-01-01", "from": "0" * 16, "to": code}
    made = {**MADE, "packages": packages, "gpu": "H100", "git": "def-dirty", "cpu": "B"}
    edit(student, accepted=[entry], provenance=made)
    ledger = verify(plans, results)
    assert ledger.problems == []
    notes = "\n".join(mixture_notes(ledger.made))
    assert "torch of several versions: 2.14 (8 results), 2.13 (1 result)" in notes
    assert "cpu (7 results), H100 (1 result)" in notes
    assert "1 result of cohorts made by other code, accepted" in notes
    assert "cohorts of several codes" in notes
    assert "1 result made by code with changes that were not committed" in notes
    assert "several CPU models" in notes
    assert "numpy" not in notes


@pytest.mark.parametrize(
    ("version", "note"),
    [("2.14", []), ("2.14+cu130", []), ("2.15", ["torch is not 2.14, as in requirements.lock: 2.15 (1 result)"])],
)
def test_versions_are_compared_with_the_lock(tree, monkeypatch, tmp_path, version, note):
    results, plans = tree
    lock = "torch==2.14 \\\n    --hash=sha256:0\nnumpy==2.0 \\\n    --hash=sha256:0\npandas==1\n"
    (tmp_path / "requirements.lock").write_text(lock)
    monkeypatch.setattr("vicinal.jobs.lock.LOCK", tmp_path / "requirements.lock")
    student = sorted(results.glob("students/*from*/model.json"))[0]
    edit(student, provenance={**MADE, "packages": {**MADE["packages"], "torch": version}})
    ledger = verify(plans, results)
    assert [line for line in ledger.mixtures if "lock" in line] == note
    assert ledger.problems == []


def test_the_device_on_which_given_weights_were_read_is_no_mixture():
    trained, given = {**MADE, "device": "cpu"}, {**MADE, "device": "cuda", "gpu": "H100"}
    made = [("teachers", (), {"spec": {}, "code": "c", "provenance": trained})]
    made += [("teachers", (), {"spec": {"given": {}}, "code": "c", "provenance": given})]
    assert mixture_notes(made) == []
    made += [("cohorts", (), {"spec": {}, "code": "c", "provenance": given})]
    assert mixture_notes(made) == ["trained or measured on several devices: cpu (1 result), H100 (1 result)"]


def test_of_many_alike_the_first_are_shown(tmp_path):
    ledger = Ledger()
    for number in range(40):
        ledger.add(tmp_path / f"{number}", "missing", "run", "missing")
    assert len(ledger.lines()) == SHOWN + 1
    assert "and 32 more like these" in ledger.lines()[-1]
    assert len(ledger.lines(everything=True)) == 40


def test_weights_that_are_none(tree):
    results, plans = tree
    weights = sorted(results.glob("students/*/weights.safetensors"))[0]
    whole = weights.read_bytes()
    for content in (b"", whole[:7], whole[:-1], whole + b"0", b"\xff" * 40, whole[:8] + b"x" + whole[9:]):
        weights.write_bytes(content)
        [problem] = verify(plans, results).problems
        assert (problem.path, problem.kind) == (weights, "damaged")
