"""Data stores, teachers, students and cohorts of another results folder: whole ones that are missing here."""

from pathlib import Path
from typing import Any

from vicinal.data.corruptions import record_name
from vicinal.data.store import META
from vicinal.fingerprint import named_modules, stage_fingerprint
from vicinal.importing.state import NOT_IMPORTED, Survey, Unit
from vicinal.records import RECORD
from vicinal.references import read_object
from vicinal.spec import artefact_id, digest
from vicinal.verify.checks import check_model, check_store, check_teacher, weights_of
from vicinal.verify.identity import is_of_cohort, is_of_spec

# The stage of whose code a model is.
CODE = {"teachers": "teachers", "students": "cohorts"}


def survey_store(survey: Survey, id_: str) -> None:
    """Look at a data store there."""
    place, before = Path("data", id_), len(survey.findings.problems)
    files = survey.files(place, "data")
    meta = check_store(survey.ledger, survey.there / place) if files is not None else {}
    if meta and not is_of_spec(id_, meta.get("spec")):
        survey.refuse(survey.there / place / META, "its spec is not that of its id")
    if not meta or not survey.is_whole(before):
        return
    if id_ in survey.data:
        survey.compare("data", place, survey.data[id_] == meta["sha256"])
        return
    survey.count_code("data", meta, stage_fingerprint("data"))
    survey.data[id_] = meta["sha256"]
    download = {field: meta["spec"].get(field) for field in ("name", "source", "files")}
    _add_record(survey, "downloads", id_, f"{id_}.fetched.json", download)
    survey.add(Unit("data", id_, place, files, [Path("data.json")]))
    _add_record(survey, "corruptions", id_, record_name(id_), {"data_sha256": meta["sha256"]})


def _add_record(survey: Survey, stage: str, id_: str, name: str, wanted: dict[str, Any]) -> None:
    """Import the record of a download, or of corrupted images, with the data store that it belongs to."""
    record, key = (Path(f"{name}{ending}") for ending in ("", ".key"))
    folder = survey.there / "data"
    if (survey.here / "data" / record).exists() or not (folder / key).is_file():
        return
    found = read_object(folder / record)
    if any((folder / name).is_symlink() for name in (record, key)):
        survey.refuse(folder / record, "a symbolic link")
    elif any(found.get(field) != value for field, value in wanted.items()):
        survey.refuse(folder / record, "of other files than the data store")
    else:
        survey.add(Unit(stage, id_, Path("data"), [key, record], [record], whole=False))


def survey_model(survey: Survey, stage: str, id_: str) -> None:
    """Look at a trained model there; ``stage`` is ``teachers`` or ``students``."""
    place, before = Path(stage, id_), len(survey.findings.problems)
    files = survey.files(place, stage)
    if files is None:
        return
    folder = survey.there / place
    if stage == "teachers" and not (folder / "teacher.json").exists():
        return  # not finished there
    path = folder / "model" / RECORD if stage == "teachers" else folder / RECORD
    if stage == "teachers":
        record = check_teacher(survey.ledger, folder)
    else:
        record = check_model(survey.ledger, folder, NOT_IMPORTED)
    if record and (record.get("id") != id_ or not is_of_spec(id_, record.get("spec"))):
        survey.refuse(path, "its id or spec is not that of its directory")
    if not record or not survey.is_whole(before):
        return
    weights, spec = weights_of(record), record["spec"]
    if id_ in survey.weights:
        survey.compare(stage, place, survey.weights[id_] == weights)
        return
    if not _is_of_these(survey, path, record, spec):
        return
    busy = [name for name in survey.locks if name == id_ or is_of_cohort(name, spec)]
    if busy:
        survey.refuse(folder, f"a job is working on it here ({busy[0]})", "import again when it has ended", "conflict")
        return
    survey.count_code(stage, record, stage_fingerprint(CODE[stage], named_modules(spec)))
    survey.know(stage, id_, weights)
    outputs = [Path("teacher.json")] if stage == "teachers" else []
    survey.add(Unit(stage, id_, place, files, outputs, survey.upstream(spec)))


def _is_of_these(survey: Survey, path: Path, record: dict[str, Any], spec: dict[str, Any]) -> bool:
    """Tell whether a model was made from data and teacher as they will be here; name it if not."""
    data = artefact_id(str(spec["data"]["name"]), spec["data"])
    if survey.data.get(data, record.get("data_sha256")) != record.get("data_sha256"):
        survey.refuse(path, f"made from another {data} than the one here", NOT_IMPORTED, "conflict")
        return False
    if not spec.get("teacher"):
        return True
    teacher = survey.teachers.get(digest(spec["teacher"])[:8])
    if teacher is None:
        survey.refuse(path, "its teacher is not here, nor whole there", NOT_IMPORTED, "missing")
    elif survey.weights[teacher] != record.get("teacher_sha256"):
        survey.refuse(path, f"learned from another {teacher} than the one here", NOT_IMPORTED, "conflict")
    else:
        return True
    return False


def survey_cohort(survey: Survey, id_: str) -> None:
    """Look at the list of a cohort's students there."""
    place, before = Path("cohorts", id_), len(survey.findings.problems)
    files = survey.files(place, "cohorts")
    path = survey.there / place / "manifest.json"
    if files is None or not path.is_file():
        return
    manifest = survey.ledger.record(path, NOT_IMPORTED)
    students = manifest.get("students")
    if not manifest or not survey.lists_ids(path, students):
        return
    specs = [spec for student in students if (spec := _spec(survey, student)) is not None]
    if not specs or not all(is_of_cohort(id_, spec) for spec in specs):
        survey.refuse(path, "lists students of another cohort" if specs else "lists no student that is whole")
    # Where a student is missing or another one here, the next run writes the list anew.
    known = all(survey.weights.get(student) == weights for student, weights in students.items())
    if not survey.is_whole(before) or not known:
        return
    if (survey.here / place / "manifest.json").exists():
        survey.present["cohorts"] += 1
        return
    survey.add(Unit("cohorts", id_, place, files, [Path("manifest.json")], survey.upstream(specs[0]), whole=False))


def _spec(survey: Survey, student: str) -> dict[str, Any] | None:
    for results in (survey.here, survey.there):
        if spec := read_object(results / "students" / student / RECORD).get("spec"):
            return spec
    return None
