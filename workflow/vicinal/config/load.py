"""From a config file and overrides to validated experiments."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from vicinal.config.blocks import named_blocks
from vicinal.config.cluster import Cluster
from vicinal.config.messages import explain
from vicinal.config.reading import parse_yaml, read_config
from vicinal.config.schema import Collection, Execution, Experiment
from vicinal.config.variants import PLUS, same_results, variant_name
from vicinal.errors import VicinalError, nearest

# --set NAME=VALUE: short names, and the fields that they stand for. GRID_KEYS are fields of the block MAIN.
SHORT_KEYS = {
    "epochs": "recipe.epochs",
    "limit_train": "data.limit_train",
    "limit_test": "data.limit_test",
    "pairs": "evaluation.pairs",
    "seeds": "seeds",
}
GRID_KEYS = ("teachers", "students", "methods", "alphas", "temperatures", "logit_scales")
MAIN = "main"
# Keys that are valid at the top beside the fields.
TOP_KEYS = (*SHORT_KEYS, *GRID_KEYS)
# A field by its path or short key, and its value.
Override = tuple[str, Any]


def validate(
    config: Mapping, where: str, overrides: Iterable[str | Override] = (), folder: Path | str = "experiments"
) -> list[Experiment]:
    """Return the validated experiments of a config: one, or all of a collection.

    Args:
        config: the settings; short keys at the top are overrides.
        where: what to call the config in messages, e.g. the file's name.
        overrides: ``KEY=VALUE`` texts with values in YAML form, or pairs; applied to each experiment.

    Raises:
        VicinalError: one line a problem: where, which field, what is wrong, what would be right.
    """
    config = dict(config)
    known = Collection.model_fields if "experiments" in config else Experiment.model_fields
    own = [(key, config.pop(key)) for key in [*SHORT_KEYS, *GRID_KEYS] if key in config and key not in known]
    changes = read_overrides(overrides)
    if "experiments" not in config:
        return [_experiment(_override(config, own), changes, where)]
    if not isinstance(config["experiments"], list):
        _validated(Collection, config, where)
    common = {} if config.get("execution") is None else {"execution": config["execution"]}
    if common:
        _validated(Execution, common["execution"], f"{where}: execution")
    experiments = []
    for position, entry in enumerate(config["experiments"]):
        place = f"{where}: experiments.{position}"
        if isinstance(entry, str):
            file = experiment_file(entry, folder)
            entry, place = read_config(file), str(file)
        if isinstance(entry, dict) and "experiments" in entry:
            raise VicinalError(f"{place}: a collection of experiments cannot hold another one; list its experiments")
        if isinstance(entry, dict):
            experiments.append(_experiment(_override({**entry, **common}, own), changes, place))
        else:
            experiments.append(_validated(Experiment, entry, place))
    _distinct_names(experiments, where, config.get("name"))
    return _validated(Collection, {**config, "experiments": experiments}, where).experiments


def run_name(config: Mapping, experiments: Sequence[Experiment], overrides: Iterable[str | Override] = ()) -> str:
    """Return the name of what a config, not yet validated, runs: of its one experiment, or of the collection."""
    if "experiments" not in config:
        return experiments[0].name
    changed = any(experiment.variant_of for experiment in experiments) and not config.get("variant_of")
    return variant_name(config["name"], read_overrides(overrides)) if changed else config["name"]


def _experiment(config: dict, changes: list[Override], where: str) -> Experiment:
    """Return an experiment with overrides; if they change its results and do not name it, it gets a variant's name."""
    experiment = _validated(Experiment, _override(config, changes), where)
    if not changes or any(key == "name" for key, _ in changes):
        return experiment
    try:
        if same_results(_validated(Experiment, config, where), experiment):
            return experiment
    except VicinalError:  # only the overrides make it valid
        pass
    name = variant_name(experiment.name, changes)
    return experiment.model_copy(update={"name": name, "variant_of": name.partition(PLUS)[0]})


def overrides_of_snakemake(config: Mapping, path: str = "") -> Iterator[Override]:
    """Yield what ``snakemake --config`` was given as overrides, with the meaning that ``--set`` gives them.

    Snakemake leaves words within lists and mappings as text, and adds a mapping to that of the file. ``path`` is that
    of the fields above, with a dot behind it.
    """
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from overrides_of_snakemake(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", _read_words(value, f"--config {path}{key}")


def _read_words(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_read_words(entry, where) for entry in value]
    if isinstance(value, Mapping):
        return {key: _read_words(entry, where) for key, entry in value.items()}
    return parse_yaml(value, where) if isinstance(value, str) else value


def read_cluster(path: Path | str) -> Cluster:
    """Return the settings of a cluster from their own file. Raises VicinalError: it is missing or wrong."""
    return validate_cluster(read_config(path), str(path))


def validate_cluster(config: Mapping, where: str) -> Cluster:
    """Return validated settings of a cluster. Raises VicinalError: one line a problem."""
    return _validated(Cluster, config, where)


def experiment_file(name: str, folder: Path | str = "experiments") -> Path:
    """Return ``experiments/NAME.yaml``, or ``config.yaml`` for the default one. Raises VicinalError: there is none."""
    folder = Path(folder)
    root, plus, _ = name.partition(PLUS)
    if plus:
        raise VicinalError(f"{name}: a run of {root} with --set: give {root} and the same --set")
    file = folder / f"{name}.yaml"
    if name in (names := [path.stem for path in sorted(folder.glob("*.yaml"))]):
        return file
    default = folder.parent / "config.yaml"
    if default.is_file() and (default_name := read_config(default).get("name")) is not None:
        if default_name == name:
            return default
        names = [str(default_name), *names]
    raise VicinalError(f"no experiment {name!r}{nearest(name, names)}; experiments are files in {folder}/")


def _distinct_names(experiments: list[Experiment], where: str, collection: Any) -> None:
    names = [experiment.name for experiment in experiments]
    if collection in names:
        raise VicinalError(f"{where}: name: {collection!r} is one of its experiments too; choose another name")
    for name in names:
        if names.count(name) > 1:
            raise VicinalError(f"{where}: experiments: {name!r} is listed twice")


def read_overrides(given: Iterable[str | Override]) -> list[Override]:
    """Return overrides as pairs: those of ``--set`` are KEY=VALUE texts, with values in YAML form.

    Raises VicinalError: a text is not of this form.
    """
    return [_split_override(one) if isinstance(one, str) else one for one in given]


def _split_override(text: str) -> Override:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise VicinalError(f"--set {_one_line(text)}: expected KEY=VALUE, e.g. epochs=2 or 'temperatures=[1,4]'")
    return _one_line(key), parse_yaml(value, f"--set {_one_line(key)}")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _override(config: dict, settings: list[Override]) -> dict:
    """Return a copy of an experiment's mapping with the overrides applied."""
    if "grids" in config:
        config = {**config, "grids": named_blocks(config["grids"])}
    for key, value in settings:
        blocks = config.get("grids")
        if key == "seeds" and isinstance(blocks, dict):  # those of blocks too
            config = {**config, "grids": {name: _without_seeds(block) for name, block in blocks.items()}}
        path = ["grids", _main_block(blocks, key), key] if key in GRID_KEYS else SHORT_KEYS.get(key, key).split(".")
        config = _set_path(config, path, value, key)
        changes = config.get("teacher_recipe")
        if key == "epochs" and isinstance(changes, dict) and "epochs" in changes:
            config = _set_path(config, ["teacher_recipe", "epochs"], value, key)
    return config


def _main_block(blocks: Any, key: str) -> str:
    """Return the name of the block that a short key changes: ``main``, or the only one."""
    names = list(blocks) if isinstance(blocks, dict) else []
    if MAIN in names or not names:
        return MAIN
    if len(names) > 1:
        shown = [name if name.isprintable() else repr(name) for name in map(str, names)]
        raise VicinalError(
            f"--set {key}: in which block? There are {', '.join(shown)}, and none is called {MAIN}: give "
            f"grids.{shown[0]}.{key}"
        )
    return names[0]


def _without_seeds(block: Any) -> Any:
    return {key: value for key, value in block.items() if key != "seeds"} if isinstance(block, dict) else block


def _set_path(config: Any, path: list[str], value: Any, key: str) -> Any:
    """Return a copy of nested mappings and lists with the entry at ``path`` replaced."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(config, list):
        if not re.fullmatch("[0-9]{1,6}", head) or int(head) >= len(config):
            raise VicinalError(f"--set {key}: {head!r} is not a position in a list of {len(config)} (from 0)")
        return [_set_path(entry, rest, value, key) if i == int(head) else entry for i, entry in enumerate(config)]
    if config is not None and not isinstance(config, dict):
        raise VicinalError(f"--set {key}: there is nothing below {config!r}")
    config = dict(config or {})
    config[head] = _set_path(config.get(head), rest, value, key)
    return config


def _validated(model: type[BaseModel], config: Mapping, where: str) -> Any:
    try:
        return model.model_validate(config)
    except ValidationError as error:
        lines = dict.fromkeys(f"{where}: {explain(model, problem, config, TOP_KEYS)}" for problem in error.errors())
        raise VicinalError("\n".join(lines)) from None


def json_schema() -> dict:
    """Return the JSON schema of a config file: an experiment or a collection."""
    schema = TypeAdapter(Experiment | Collection).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Vicinal config", **schema}
