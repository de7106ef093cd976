"""Some of the students of an experiment as an experiment of their own: a config, or --set where that can say it."""

import argparse
import json
import shlex
from collections.abc import Iterable
from typing import Any, NamedTuple

from vicinal.artefacts import Artefacts, Study, Teacher
from vicinal.commands.experiment import RESULTS, dump, read_experiments
from vicinal.config import PUBLISHED, Experiment, Loss, validate
from vicinal.planning import resolve


class Axes(NamedTuple):
    """A block of students: every combination of the entries of its axes."""

    teachers: tuple
    students: tuple
    methods: tuple
    alphas: tuple
    temperatures: tuple
    logit_scales: tuple
    losses: tuple
    seeds: tuple


def experiments_of(artefacts: Artefacts, chosen: set[str], name: str) -> list[Experiment]:
    """Return experiments that ask for the chosen students and no others.

    Args:
        artefacts: of the experiments that have them.
        chosen: ids of students.
        name: of the new experiment; of several, what their names end with.

    Raises:
        VicinalError: ``name`` is no name of an experiment.
    """
    studies = [study for study in artefacts.studies.values() if chosen & study.models.keys()]
    names = [name] if len(studies) == 1 else [f"{study.experiment.name}-{name}" for study in studies]
    found = []
    for study, own_name in zip(studies, names, strict=True):
        config = study.experiment.model_dump(mode="json")
        config |= {"name": own_name, "grids": grids_of(study, chosen)}
        found += validate(config, name)
    return found


def write_config(experiments: list[Experiment], name: str) -> dict[str, Any]:
    """Return the config of experiments, fields that are null or at their default left out."""
    config = dump(name, experiments)
    for entry in config.get("experiments", [config]):
        entry["teacher_recipe"] = {key: value for key, value in entry["teacher_recipe"].items() if value is not None}
        entry["data"] = {key: value for key, value in entry["data"].items() if value is not None}
        entry["grids"] = [{key: value for key, value in grid.items() if value is not None} for grid in entry["grids"]]
    return config


def grids_of(study: Study, chosen: set[str]) -> list[dict[str, Any]]:
    """Return blocks whose union is the chosen students of an experiment."""
    rows = [columns for id_, (_, columns) in study.models.items() if id_ in chosen]
    given = {unit.id: unit for unit in study.units if isinstance(unit, Teacher) and unit.is_given}
    return [_grid(block) for block in merge(_axes(columns, given.get(columns["teacher_id"])) for columns in rows)]


def _axes(columns: dict[str, Any], given: Teacher | None = None) -> Axes:
    """Return a student as a block of one; axes that its method does not use are at their defaults.

    ``given`` is its teacher, where that is not trained.
    """
    if columns["teacher"] is None:
        teacher, temperature, scale, loss = None, 2.0, 1.0, None
    else:
        # How published weights were trained is known.
        weights = (given.file or PUBLISHED) if given else None
        alpha = None if weights == PUBLISHED else columns["teacher_mixup_alpha"]
        normalisation = given.spec.get("normalisation", {}) if given else {}
        normalisation = tuple((name, tuple(values)) for name, values in normalisation.items())
        teacher = columns["teacher"], alpha, weights, normalisation
        temperature = columns["temperature"] if columns["temperature"] == "std" else float(columns["temperature"])
        scale, loss = columns["logit_scale"], tuple((name, columns[name]) for name in Loss.model_fields)
    alpha = 1.0 if columns["alpha"] is None else columns["alpha"]
    entries = (teacher, columns["model"], columns["method"], alpha, temperature, scale, loss, columns["seed"])
    return Axes(*((entry,) for entry in entries))


def merge(blocks: Iterable[Axes]) -> list[Axes]:
    """Return fewer blocks with the same union: those that differ on one axis only become one, axis after axis."""
    found = list(blocks)
    for axis in ("seeds", "temperatures", "logit_scales", "methods", "alphas", "students", "teachers"):
        groups: dict[Axes, list] = {}
        for block in found:
            groups.setdefault(block._replace(**{axis: ()}), []).extend(getattr(block, axis))
        found = [block._replace(**{axis: tuple(dict.fromkeys(entries))}) for block, entries in groups.items()]
    return found


def _grid(block: Axes) -> dict[str, Any]:
    grid: dict[str, Any] = {
        "students": list(block.students),
        "methods": list(block.methods),
        "alphas": list(block.alphas),
        "seeds": list(block.seeds),
    }
    if block.teachers != (None,):
        grid["teachers"] = [
            {"model": model, "mixup_alpha": alpha, "weights": weights, "normalisation": dict(normalisation) or None}
            for model, alpha, weights, normalisation in block.teachers
        ]
        grid |= {"temperatures": list(block.temperatures), "logit_scales": list(block.logit_scales)}
        [loss] = block.losses
        grid["loss"] = dict(loss)
    return grid


def command_of(args: argparse.Namespace, artefacts: Artefacts, chosen: set[str]) -> str | None:
    """Return the command that asks for the chosen students and no others, by ``--set``; None: none was found.

    What is tried is expanded and compared: the answer is right, not every right answer is found.
    """
    columns = [student.columns for id_, student in artefacts.students.items() if id_ in chosen]
    distilled = [row for row in columns if row["teacher"] is not None]
    settings = {
        "seeds": _distinct(row["seed"] for row in columns),
        "temperatures": _distinct(
            row["temperature"] if row["temperature"] == "std" else float(row["temperature"]) for row in distilled
        ),
        "logit_scales": _distinct(row["logit_scale"] for row in distilled),
        "methods": _distinct(row["method"] for row in columns),
    }
    tried: list[str] = []
    for key, entries in [("", []), *settings.items()]:
        if key and entries:
            tried.append(f"{key}={json.dumps(entries, separators=(',', ':'))}")
        if asked_for(args, tried) == chosen:
            words = ["./reproduce", *([args.experiment] if args.experiment else [])]
            return " ".join([*words, *(f"--set {shlex.quote(setting)}" for setting in [*args.set, *tried])])
    return None


def asked_for(args: argparse.Namespace, settings: list[str]) -> set[str]:
    """Return the ids of the students that the experiment asks for with more ``--set``."""
    _, experiments, where = read_experiments(argparse.Namespace(experiment=args.experiment, set=[*args.set, *settings]))
    artefacts, _ = resolve(experiments, where, RESULTS)
    return set(artefacts.students)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(int(v) if isinstance(v, float) and v.is_integer() else v for v in values))
