"""Taking over results that were made elsewhere: verified there by their own records, copied whole or not at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.importing.measured import survey_evaluation, survey_experiment
from vicinal.importing.models import survey_cohort, survey_model, survey_store
from vicinal.importing.state import NOT_IMPORTED, Survey
from vicinal.verify.layout import MEASURED, STAGES, is_plain

# Folders of a results folder that are no experiment's.
OTHERS = {*STAGES, "plan", "weights", "published", "logs", "benchmarks", "locks", "checkpoints", "heartbeats"}


def find_results(folder: Path, here: Path) -> Path:
    """Return the results folder that is meant: the one given, or the one in the project folder given.

    Raises:
        VicinalError: there is none, or it is the own one.
    """
    if not folder.is_dir():
        raise VicinalError(f"{folder}: no such folder; name a results folder, or a project folder that holds one")
    found = folder / "results" if (folder / "results").is_dir() else folder
    if not any((found / stage).is_dir() for stage in STAGES):
        raise VicinalError(f"{found}: no results in it; name a results folder, or a project folder that holds one")
    if found.resolve() == here.resolve():
        raise VicinalError(f"{folder}: these are the results of this project; name another folder")
    return found


def survey_results(there: Path, here: Path) -> Survey:
    """Look through another results folder: what is whole there and missing here. Changes nothing."""
    survey = Survey(there, here)
    for id_ in survey.ids("data"):
        _look(survey, there / "data" / id_, survey_store, id_)
    for stage in ("teachers", "students"):
        for id_ in survey.ids(stage):
            _look(survey, there / stage / id_, survey_model, stage, id_)
    for id_ in survey.ids("cohorts"):
        _look(survey, there / "cohorts" / id_, survey_cohort, id_)
    for stage in MEASURED:
        for id_ in survey.ids(stage):
            _look(survey, there / stage / id_, survey_evaluation, stage, id_)
    for folder in sorted(there.iterdir()):
        if folder.name not in OTHERS and is_plain(folder.name) and (folder / "provenance.json").is_file():
            _look(survey, folder, survey_experiment, folder.name)
    problems = survey.findings.problems
    # The checks say how to mend what is here.
    survey.findings.problems = [
        problem if problem.kind == "conflict" else replace(problem, remedy=NOT_IMPORTED) for problem in problems
    ]
    return survey


def _look(survey: Survey, path: Path, look: Callable[..., None], *names: str) -> None:
    """Look at one artefact; one whose record is not made by this workflow is named."""
    try:
        look(survey, *names)
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        survey.refuse(path, f"its record cannot be read as one of this workflow ({type(error).__name__}: {error})")
