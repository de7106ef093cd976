"""Before the first job: are the files of given teachers there, and do they fit the data?"""

from collections.abc import Callable, Mapping
from pathlib import Path

from vicinal.models.pretrained import CLASSES
from vicinal.planning.artefacts import Artefacts, DataSet, Teacher
from vicinal.planning.changes import Change
from vicinal.planning.given_files import given_files
from vicinal.planning.plans import Ref
from vicinal.planning.problems import Problem
from vicinal.running.estimate.shape import Shape


def given_teachers(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> list[Teacher]:
    """Return the teachers that a run would make of given weights."""
    return [t for id_, t in artefacts.teachers.items() if t.is_given and ("teachers", id_) in changes]


def missing_files(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> list[Problem]:
    """Return which files that a run would read are gone by now; those that never existed are reported earlier."""
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
    """Return which given teachers do not fit their data: in the number of classes, or of channels.

    Args:
        artefacts: that are asked for.
        changes: the jobs that would run.
        shape: returns the shape of a data set.
    """
    problems = []
    for teacher in given_teachers(artefacts, changes):
        model, name, data = teacher.columns["model"], teacher.store.spec["name"], shape(teacher.store)
        texts = []
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
        asked_by = artefacts.names(lambda study, id_=teacher.id: id_ in study.models)  # type: ignore[misc]
        problems += [Problem(text, asked_by) for text in texts]
    return problems
