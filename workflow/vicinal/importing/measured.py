"""Evaluations, and the tables made from them, of another results folder: whole ones that are missing here."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vicinal.data.corruptions import record_name
from vicinal.fingerprint import named_modules, stage_fingerprint
from vicinal.importing.state import KEPT, NOT_IMPORTED, Survey, Unit
from vicinal.measurements import needed_files
from vicinal.records import EVALUATION
from vicinal.references import read_object
from vicinal.spec import artefact_id, digest
from vicinal.verify.analysis import source_paths
from vicinal.verify.checks import check_evaluation, check_sums
from vicinal.verify.identity import is_of_evaluation, is_of_spec


def survey_evaluation(survey: Survey, stage: str, id_: str) -> None:
    """Look at an evaluation there, ``stage`` is one of ``MEASURED``: each measured model, and the list of them."""
    place, before = Path(stage, id_), len(survey.findings.problems)
    files = survey.files(place, stage, depth=1)
    path = survey.there / place / "manifest.json"
    if files is None or not path.is_file():
        return
    manifest = survey.ledger.record(path, NOT_IMPORTED)
    models = manifest.get("models")
    if not manifest or not survey.lists_ids(path, models):
        return
    specs = [_measurement(survey, stage, id_, model, wanted) for model, wanted in sorted(models.items())]
    known = all(
        survey.ledger.sha256(survey.measured[f"{id_}/{model}"]) == wanted
        for model, wanted in models.items()
        if f"{id_}/{model}" in survey.measured
    )
    if not survey.is_whole(before) or not known or None in specs:
        return
    if (survey.here / place / "manifest.json").exists():
        return
    unit = specs[0]["unit"]
    upstream, own = survey.upstream(unit), digest(unit)[:8]
    if stage == "robustness":
        upstream.append(Path("data", record_name(upstream[0].parent.name)))
    if unit["stage"] == "student":
        slug = id_[:-9].removesuffix(f"_p{specs[0].get('pairs')}")
        upstream.append(Path("cohorts", f"{slug}-{own}", "manifest.json"))
    elif own in survey.teachers:
        upstream.append(Path("teachers", survey.teachers[own], "teacher.json"))
    survey.add(Unit(stage, id_, place, files, [Path("manifest.json")], upstream, whole=False))


def _measurement(survey: Survey, stage: str, evaluation: str, model: str, wanted: str) -> dict[str, Any] | None:
    """Look at the tables of one measured model; return its record's spec, None if it is not to be had."""
    place, before = Path(stage, evaluation, model), len(survey.findings.problems)
    files = survey.files(place, stage)
    if files is None:
        return None
    path = survey.there / place / EVALUATION
    record = survey.ledger.record(path, NOT_IMPORTED)
    if not record:
        return None
    spec = record.get("spec")
    is_own = is_of_evaluation(evaluation, spec) if stage == "evaluations" else is_of_spec(evaluation, spec["unit"])
    if record.get("id") != model or not is_own:
        survey.refuse(path, "its id or spec is not that of its directory")
        return None
    needed = needed_files(stage, spec["unit"]["stage"] == "teacher")
    check_evaluation(survey.ledger, survey.there / place, NOT_IMPORTED, needed)
    if survey.ledger.sha256(path) != wanted:
        survey.refuse(path, "its checksum is not the one in manifest.json")
    if model not in survey.weights:
        survey.refuse(path, "its model is not here, nor whole there", NOT_IMPORTED, "missing")
    elif record.get("weights_sha256") != survey.weights[model]:
        survey.refuse(path, f"measured another {model} than the one here", NOT_IMPORTED, "conflict")
    if not survey.is_whole(before):
        return None
    own = survey.here / place / EVALUATION
    if own.exists():
        mine = read_object(own)
        same = all(mine.get(key) == record.get(key) for key in ("sha256", "weights_sha256"))
        survey.measured[f"{evaluation}/{model}"] = own
        survey.compare("measurements", place, same)
        return spec
    survey.measured[f"{evaluation}/{model}"] = path
    survey.count_code("measurements", record, stage_fingerprint(stage, named_modules(spec["unit"])))
    survey.add(Unit("measurements", model, place, files))
    return spec


def survey_experiment(survey: Survey, name: str) -> None:
    """Look at the tables, claims, figures and report of an experiment there."""
    survey.experiments.append(name)
    place, before = Path(name), len(survey.findings.problems)
    folder = survey.there / place
    if (survey.here / place).exists():
        sums = [survey.ledger.sha256(results / name / "metrics.parquet") for results in (survey.here, survey.there)]
        if sums[0] != sums[1]:
            note = f"{folder}: tables of that name are here, {KEPT}; ./reproduce {name} brings them up to date"
            survey.findings.notes.append(note)
        else:
            survey.present["experiments"] += 1
        return
    files = survey.files(place, None)
    if files is None:
        return
    own = survey.ledger.record(folder / "provenance.json", NOT_IMPORTED)
    for path in _records(folder):
        record = survey.ledger.record(path, NOT_IMPORTED)
        check_sums(survey.ledger, path, record.get("sha256"), NOT_IMPORTED)
        made_from = record.get("made_from")
        if path.name != "provenance.json" and isinstance(made_from, dict):
            for source, found in source_paths(path, made_from).items():
                if found is None or survey.ledger.sha256(found) != made_from[source]:
                    survey.refuse(path, f"made from another {source} than lies there now")
    try:
        models, data = own["spec"]["models"], own["spec"]["data"]
        corrupted = own["spec"].get("corrupted", {})
        rows = {id_: f"{row['evaluation']}/{id_}" for id_, row in models.items()}
        rows |= {f"robustness/{id_}": f"{unit}/{id_}" for id_, unit in corrupted.items()}
        made = {id_: survey.ledger.sha256(survey.measured[row]) for id_, row in rows.items() if row in survey.measured}
        upstream = {Path("evaluations", row["evaluation"], "manifest.json") for row in models.values()}
        upstream |= {Path("robustness", unit, "manifest.json") for unit in corrupted.values()}
        upstream.add(Path("data", artefact_id(data["name"], data), "data.json"))
    except (KeyError, TypeError, AttributeError):
        survey.refuse(folder / "provenance.json", "not the record of an experiment's tables")
        return
    if not survey.is_whole(before):
        return
    if made != own.get("made_from"):
        note = f"{folder}: its tables were made from other measurements than will be here: not imported"
        survey.findings.notes.append(f"{note}; ./reproduce {name} makes them")
        return
    outputs = [path for path in files if path.suffix not in (".key", ".json") or path.parent.name == "figures"]
    survey.add(Unit("experiments", name, place, files, outputs, sorted(upstream)))


def _records(folder: Path) -> Iterable[Path]:
    names = [folder / name for name in ("provenance.json", "claims.json", "report.json")]
    return [path for path in [*names, *sorted((folder / "figures").glob("[!.]*.json"))] if path.is_file()]
