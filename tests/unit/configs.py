"""The shipped configs, and what several tests of the config ask of one."""

from pathlib import Path

import pytest

from vicinal.config import Experiment, read_config, validate
from vicinal.errors import VicinalError

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = REPOSITORY / "experiments"
SHIPPED = [REPOSITORY / "config.yaml", *sorted(EXPERIMENTS.glob("*.yaml"))]


def load(config, *overrides):
    return validate(config, "file.yaml", list(overrides), folder=EXPERIMENTS)


def default(*settings: str) -> Experiment:
    """Return the experiment that a fresh checkout runs, with settings as of the command line."""
    [experiment] = validate(read_config(REPOSITORY / "config.yaml"), "config.yaml", list(settings))
    return experiment


def problems(config, *overrides) -> list[str]:
    """Return what is wrong, one entry a line of the message, without the name of the file."""
    with pytest.raises(VicinalError) as caught:
        load(config, *overrides)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("file.yaml: ") for line in lines)
    return [line.removeprefix("file.yaml: ") for line in lines]


def leaves(value, path="") -> dict:
    """Return the settings of an experiment by path; lists, other than that of the blocks, are values."""
    if isinstance(value, dict):
        parts = value.items()
    elif path == "grids":
        parts = enumerate(value)
    else:
        return {path: value}
    return {
        name: leaf for key, part in parts for name, leaf in leaves(part, f"{path}.{key}" if path else str(key)).items()
    }


def changed(before, after) -> set[str]:
    before, after = leaves(before.model_dump()), leaves(after.model_dump())
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
