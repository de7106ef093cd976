"""Before the first job: can the teachers that are given weights be made of them?"""

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
    """Return which files that a run would read are not there any more; that they never were is said earlier."""
    needed = {teacher.file for teacher in given_teachers(artefacts, changes)}
    return [
        Problem(f"{field}: {path}: not there any more: put it back, or name another file", (name,))
        for name, study in artefacts.studies.items()
        for field, path in given_files([study.experiment])
        if path in needed and not Path(path).is_file()
    ]


def other_classes(
    artefacts: Artefacts, changes: Mapping[Ref, Change], shape: Callable[[DataSet], Shape]
) -> list[Problem]:
    """Return which published weights are given as teachers of data of other classes than those of ImageNet.

    Args:
        artefacts: that are asked for.
        changes: the jobs that would run.
        shape: returns the shape of a data set.
    """
    problems = []
    for teacher in given_teachers(artefacts, changes):
        classes = shape(teacher.store).classes
        if teacher.weights and classes != CLASSES:
            text = f"grids.teachers.weights: the published ones of {teacher.columns['model']} know the {CLASSES:,} "
            text += f"classes of ImageNet, {teacher.store.spec['name']} has {classes:,}: leave them out, and it is "
            text += "trained (from these weights with teacher_recipe.pretrained: true)"
            problems.append(Problem(text, artefacts.names(lambda study, id_=teacher.id: id_ in study.models)))
    return problems


def other_channels(
    artefacts: Artefacts, changes: Mapping[Ref, Change], shape: Callable[[DataSet], Shape]
) -> list[Problem]:
    """Return which given teachers have a normalisation of other channels than the images; arguments as above."""
    problems = []
    for teacher in given_teachers(artefacts, changes):
        own, channels = teacher.spec.get("normalisation"), shape(teacher.store).channels
        if own and len(own["mean"]) != channels:
            text = f"grids.teachers.normalisation: that of {teacher.columns['model']} has mean and std of "
            text += f"{len(own['mean'])} channels, the images of {teacher.store.spec['name']} have {channels}: "
            text += f"give {channels} of both"
            problems.append(Problem(text, artefacts.names(lambda study, id_=teacher.id: id_ in study.models)))
    return problems
