"""The artefacts of configs, and what several tests ask of them."""

from pathlib import Path

from vicinal.config import read_config, validate
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.grid import expand

REPOSITORY = Path(__file__).parents[2]
CONTENT = {"source": "torchvision", "files": {"archive.tar.gz": "0" * 32}}


def expanded(*configs, content=CONTENT) -> Artefacts:
    experiments = [experiment for config in configs for experiment in validate(config, "test")]
    return expand([(experiment, content) for experiment in experiments])


def shipped(name: str) -> dict:
    path = REPOSITORY / "config.yaml" if name == "digits" else REPOSITORY / "experiments" / f"{name}.yaml"
    return read_config(path)


def ids(artefacts: Artefacts) -> set[str]:
    return {*artefacts.stores, *artefacts.teachers, *artefacts.cohorts, *artefacts.students, *artefacts.evaluations}


def counts(artefacts: Artefacts) -> tuple[int, int, int]:
    return len(artefacts.teachers), len(artefacts.students), len(artefacts.cohorts)


def changed_students(before: Artefacts, after: Artefacts) -> tuple[list, list]:
    """Return the specs of the students that went and of those that came."""
    old, new = before.students, after.students
    return ([old[id_].spec for id_ in old.keys() - new.keys()], [new[id_].spec for id_ in new.keys() - old.keys()])
