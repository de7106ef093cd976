"""Before the first job: are the files of given teachers there, can they be used, and do they fit the data?"""

from collections.abc import Callable, Mapping
from pathlib import Path

from vicinal.errors import VicinalError, describe
from vicinal.models import build_model
from vicinal.models.pretrained import CLASSES
from vicinal.planning.artefacts import Artefacts, DataSet, Teacher
from vicinal.planning.changes import Change
from vicinal.planning.given_files import given_files
from vicinal.planning.plans import Ref
from vicinal.planning.problems import ERROR, NOTE, Problem
from vicinal.running.estimate.shape import Shape


def given_teachers(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> list[Teacher]:
    """Return the teachers that a run would make of given weights."""
    return [t for id_, t in artefacts.teachers.items() if t.is_given and ("teachers", id_) in changes]


def missing_files(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> list[Problem]:
    """Return which files that a run would read were removed since; those that never existed are reported earlier."""
    needed = {teacher.file for teacher in given_teachers(artefacts, changes)}
    return [
        Problem(f"{field}: {path}: not there any more: put it back, or name another file", (name,))
        for name, study in artefacts.studies.items()
        for field, path in given_files([study.experiment])
        if path in needed and not Path(path).is_file()
    ]


def unfit_teachers(
    artefacts: Artefacts, changes: Mapping[Ref, Change], shape: Callable[[DataSet], Shape]
) -> list[Problem]:
    """Return which given teachers cannot be made: by their file, or by the classes or channels of their data."""
    problems = []
    for teacher in given_teachers(artefacts, changes):
        model, name, data = teacher.columns["model"], teacher.store.spec["name"], shape(teacher.store)
        texts = []
        asked_by = artefacts.names(lambda study, id_=teacher.id: id_ in study.models)  # type: ignore[misc]
        if teacher.weights and data.classes != CLASSES:
            texts.append(
                f"grids.teachers.weights: the published ones of {model} know the {CLASSES:,} classes of ImageNet, "
                f"{name} has {data.classes:,}: leave them out, and it is trained (from these weights with "
                "teacher_recipe.pretrained: true)"
            )
        own = teacher.spec.get("normalisation")
        if own and len(own["mean"]) != data.channels:
            texts.append(
                f"grids.teachers.normalisation: that of {model} has mean and std of {len(own['mean'])} channels, the "
                f"images of {name} have {data.channels}: give {data.channels} of both"
            )
        problems += [Problem(text, asked_by) for text in texts]
        if teacher.file and Path(teacher.file).is_file():
            problems += _of_file(teacher, teacher.file, data, asked_by)
    return problems


def _of_file(teacher: Teacher, file: str, data: Shape, asked_by: tuple[str, ...]) -> list[Problem]:
    """Return what a user should know of the file of a teacher: it cannot be used, or its names are others."""
    from vicinal.models.fitting import load_checkpoint  # torch takes a while to load

    try:
        ordered = load_checkpoint(build_model(teacher.spec["model"], data.classes, data.channels), file)
    except (VicinalError, OSError) as error:
        return [Problem(f"grids.teachers.weights: {describe(error)}", asked_by, ERROR)]
    if not ordered:
        return []
    text = f"{file}: the names of its layers are not ours, so they are taken in their order: look at the"
    return [Problem(f"{text} teacher's accuracy in the report first", asked_by, NOTE)]
