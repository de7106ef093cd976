"""The config of an experiment: its fields, their limits and defaults, and how a file and overrides become one.

This is the only module that needs pydantic. Scripts never read a config: they read plan files.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from vicinal.data.catalogue import DATA_SETS
from vicinal.errors import VicinalError, nearest
from vicinal.models.registry import ARCHITECTURES
from vicinal.spec import number

Method = Literal["ce", "ce_mixup", "kd", "kd_mixup"]
METHODS: tuple[str, ...] = get_args(Method)
# Folders of results/ that hold what experiments share; an experiment of that name would overwrite them.
RESERVED_NAMES = {
    "data", "teachers", "students", "cohorts", "evaluations", "plan", "locks", "logs", "published",
}  # fmt: skip


def _architecture(name: str) -> str:
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model {name!r}{nearest(name, ARCHITECTURES)}")
    return name


def _method(name: Any) -> Any:
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}{nearest(name, METHODS)}")
    return name


def _temperature(value: Any) -> Any:
    if value == "std":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no temperature: a number > 0 or std")
    if not 0 < value < float("inf"):
        raise ValueError(f"{value} is no temperature: it must be > 0 (or std)")
    return float(value)


def _distinct(values: list) -> list:
    if not values:
        raise ValueError("the list is empty: give at least one entry")
    for position, value in enumerate(values):
        if value in values[:position]:
            shown = f"teacher {value.model}" if isinstance(value, Teacher) else number(value)
            raise ValueError(f"{shown} is listed twice")
    return values


def _results_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError(f"{name!r}: use letters, digits, '.', '_', '-', at most 64, starting with a letter or digit")
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} is a folder that results/ uses itself; choose another name")
    return name


ModelName = Annotated[str, AfterValidator(_architecture)]
MethodName = Annotated[Method, BeforeValidator(_method)]
Temperature = Annotated[float | Literal["std"], BeforeValidator(_temperature)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
ResultsName = Annotated[str, AfterValidator(_results_name)]
Alpha = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False, description="α of Beta(α, α), > 0 (without mixup: methods ce and kd)"),
]


class Section(BaseModel):
    """A part of the config: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which images, from where, and how they are split."""

    name: str = Field("digits", description=f"data set: {', '.join(DATA_SETS)}, or the name of a folder of Parquet files")
    root: str = Field("data", description="folder where data sets lie or are downloaded to")
    source: Literal["auto", "digits", "torchvision", "parquet"] = Field(
        "auto", description="auto takes Parquet files in root/name if there are any, else torchvision's download"
    )
    image_column: str | None = Field(None, description="Parquet: column of the images; found by itself if there is one")
    label_column: str | None = Field(None, description="Parquet: column of the labels; found by itself if there is one")
    validation: NotNegative | None = Field(
        None, description="validation images: a number ≥ 1, or a share of the training split; null: the data set's default"
    )
    split_seed: Seed = Field(0, description="seed of the stratified train/validation split")
    limit_train: int | None = Field(None, ge=2, description="train on a stratified subset of this many images")
    limit_test: int | None = Field(None, ge=2, description="test (and validate) on a stratified subset of at most this many images")

    @model_validator(mode="after")
    def _name_is_a_folder(self) -> "Data":
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name {self.name!r}: use letters, digits, '.', '_', '-' (it names a folder below root)")
        return self


class Recipe(Section):
    """How a network is trained."""

    optimizer: Literal["sgd"] = Field("sgd", description="optimiser")
    epochs: int = Field(30, ge=1, description="passes over the training split")
    batch_size: int = Field(64, ge=2, description="images a step")
    lr: Positive = Field(0.05, description="initial learning rate")
    lr_by_model: dict[ModelName, Positive] = Field({}, description="initial learning rate of the models named here, instead of lr")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    nesterov: bool = Field(False, description="Nesterov momentum")
    weight_decay: NotNegative = Field(5e-4, description="L2 penalty of SGD, on all parameters")
    schedule: Literal["step", "cosine", "constant"] = Field("step", description="learning rate over time")
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.625, 0.75, 0.875], description="step: where the learning rate drops, as shares of the epochs"
    )
    gamma: Positive = Field(0.1, description="step: factor of each drop")
    crop_padding: int = Field(4, ge=0, description="random crop after padding with this many black pixels; 0: none")
    flip: bool = Field(True, description="random horizontal flip")


RecipeChanges = create_model(
    "RecipeChanges",
    __base__=Section,
    __doc__="The fields of the recipe that differ.",
    **{
        name: (field.annotation | None, Field(None, description=field.description))
        for name, field in Recipe.model_fields.items()
    },
)


class Loss(Section):
    """Weights of the loss: ce_weight · CE + kd_weight · T² · KL(teacher ‖ student)."""

    kd_weight: NotNegative = Field(1.0, description="weight of the distillation term")
    ce_weight: NotNegative = Field(0.0, description="weight of the cross-entropy with the (mixed) labels")

    @model_validator(mode="after")
    def _some_weight(self) -> "Loss":
        if self.kd_weight == 0:
            raise ValueError("kd_weight is 0: nothing is distilled; use the methods ce and ce_mixup")
        return self


class Teacher(Section):
    """A teacher: its model, and whether it is trained with mixup."""

    model: ModelName = Field(description="name of the model")
    mixup_alpha: Alpha | None = Field(None, description="α of the mixup the teacher is trained with; null: none")


def _teacher(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


TeacherEntry = Annotated[Teacher, BeforeValidator(_teacher, json_schema_input_type=str | Teacher)]


class Grid(Section):
    """A block of students: every combination of its lists."""

    teachers: Annotated[list[TeacherEntry], AfterValidator(_distinct)] | None = Field(
        None, description="teachers, by name or as {model, mixup_alpha}; ce and ce_mixup use none"
    )
    students: Annotated[list[ModelName], AfterValidator(_distinct)] = Field(description="models of the students")
    methods: Annotated[list[MethodName], AfterValidator(_distinct)] = Field(description=f"of {', '.join(METHODS)}")
    alphas: Annotated[list[Alpha], AfterValidator(_distinct)] = Field([1.0], description="α of Beta(α, α), for the mixup methods")
    temperatures: Annotated[list[Temperature], AfterValidator(_distinct)] = Field(
        [2.0], description="T of the distillation, numbers > 0 or std (each sample's standard deviation of the logits)"
    )
    logit_scales: Annotated[list[Positive], AfterValidator(_distinct)] = Field(
        [1.0], description="factors on the teacher's logits when it is queried: same answers, other calibration"
    )
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] | None = Field(None, description="instead of the experiment's seeds")
    loss: Loss | None = Field(None, description="instead of the experiment's loss")

    @model_validator(mode="after")
    def _teachers_for_distillation(self) -> "Grid":
        if not self.teachers and any(method.startswith("kd") for method in self.methods):
            raise ValueError("methods kd and kd_mixup need teachers: name at least one")
        return self


class Evaluation(Section):
    """What is measured on the trained models."""

    pairs: int = Field(25_600, ge=20, description="vicinal pairs a split (train and test)")
    pair_seed: Seed = Field(0, description="seed of the list of vicinal pairs, shared by all models")


class Execution(Section):
    """Where and how it runs; nothing here changes what is computed."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(1, ge=1, description="CPU threads of a training or evaluation job")


class Experiment(Section):
    """One experiment: a data set, a recipe and grids of students."""

    name: ResultsName = Field(description="name of the folder below results/")
    data: Data = Field(Data(), description="which images, from where, and how they are split")
    recipe: Recipe = Field(Recipe(), description="how students (and teachers) are trained")
    teacher_recipe: RecipeChanges = Field(RecipeChanges(), description="the fields of the recipe that differ for teachers")
    loss: Loss = Field(Loss(), description="weights of the distillation loss")
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] = Field(
        [0, 1, 2, 3, 4], description="replicates: student seed s learns from teacher seed s"
    )
    grids: list[Grid] = Field(min_length=1, description="blocks of students; their union is trained")
    evaluation: Evaluation = Field(Evaluation(), description="what is measured on the trained models")
    execution: Execution = Field(Execution(), description="where and how it runs")


class Collection(Section):
    """Several experiments run as one, in one graph of jobs: what they share is made once."""

    name: ResultsName = Field(description="name of the collection")
    experiments: list[str | Experiment] = Field(min_length=1, description="names of files in experiments/, or whole experiments")


# --set NAME=VALUE: short names, and where they lead. GRID_KEYS apply to every block that has the key.
SHORT_KEYS = {
    "epochs": "recipe.epochs",
    "limit_train": "data.limit_train",
    "limit_test": "data.limit_test",
    "pairs": "evaluation.pairs",
    "seeds": "seeds",
}
GRID_KEYS = ("teachers", "students", "methods", "alphas", "temperatures", "logit_scales")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (PyYAML would keep the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key_node.value!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as text; scientists write it as a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely.

    Raises:
        VicinalError: the text is no YAML, or a key is given twice; ``where`` names it.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise VicinalError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None


def read_config(path: Path | str) -> dict:
    """Read a config file into a mapping, not yet validated.

    Raises:
        VicinalError: the file is missing or no YAML mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such config file") from None
    except UnicodeDecodeError:
        raise VicinalError(f"{path}: not a text file in UTF-8") from None
    config = parse_yaml(text, str(path))
    if not isinstance(config, dict):
        raise VicinalError(f"{path}: expected a mapping of settings, found {type(config).__name__}")
    return config


def validate(config: Mapping, where: str, overrides: list[str] = (), folder: Path | str = "experiments") -> list[Experiment]:
    """Turn a mapping into validated experiments, a collection into all of its experiments.

    Args:
        config: the settings; top-level short keys (as ``snakemake --config epochs=2`` puts them there) are overrides.
        where: what to call it in messages, e.g. the file's name.
        overrides: ``KEY=VALUE`` texts, values in YAML form, applied to each experiment.
        folder: where the experiments that a collection names lie.

    Raises:
        VicinalError: one line a problem: where, which field, what is wrong, what would be right.
    """
    config = dict(config)
    settings = [_split_override(text) for text in overrides]
    known = Collection.model_fields if "experiments" in config else Experiment.model_fields
    settings += [(key, config.pop(key)) for key in [*SHORT_KEYS, *GRID_KEYS] if key in config and key not in known]
    if "experiments" not in config:
        return [_validated(Experiment, _override(config, settings), where)]
    names = config["experiments"]
    inline = []
    for entry in names if isinstance(names, list) else []:
        if isinstance(entry, str):
            file = experiment_file(entry, folder)
            inline.append(_override(read_config(file), settings))
        else:
            inline.append(_override(entry, settings) if isinstance(entry, dict) else entry)
    experiments = _validated(Collection, {**config, "experiments": inline or names}, where).experiments
    _distinct_names(experiments, where)
    return experiments


def experiment_file(name: str, folder: Path | str = "experiments") -> Path:
    """Return the file of the experiment ``name``: ``experiments/NAME.yaml``, or ``config.yaml`` for the default one.

    Raises:
        VicinalError: there is none; the nearest names are suggested.
    """
    folder = Path(folder)
    file = folder / f"{name}.yaml"
    if name in (names := [path.stem for path in sorted(folder.glob("*.yaml"))]):
        return file
    default = folder.parent / "config.yaml"
    if default.is_file() and read_config(default).get("name") == name:
        return default
    raise VicinalError(f"no experiment {name!r}{nearest(name, names)}; experiments are files in {folder}/")


def _distinct_names(experiments: list[Experiment], where: str) -> None:
    names = [experiment.name for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            raise VicinalError(f"{where}: experiments: {name!r} is listed twice")


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise VicinalError(f"--set {text}: expected KEY=VALUE, e.g. epochs=2 or 'temperatures=[1,4]'")
    return key.strip(), parse_yaml(value, f"--set {key}")


def _override(config: dict, settings: list[tuple[str, Any]]) -> dict:
    """Return a copy of an experiment's mapping with the overrides applied."""
    for key, value in settings:
        if key in GRID_KEYS or key == "seeds":
            config = _override_grids(config, key, value)
        if key not in GRID_KEYS:
            config = _set_path(config, SHORT_KEYS.get(key, key).split("."), value, key)
        if key == "epochs" and "epochs" in (config.get("teacher_recipe") or {}):
            config = _set_path(config, ["teacher_recipe", "epochs"], value, key)
    return config


def _override_grids(config: dict, key: str, value: Any) -> dict:
    grids = config.get("grids")
    if not isinstance(grids, list):
        return config
    have = [isinstance(grid, dict) and key in grid for grid in grids]
    if key != "seeds" and not any(have):
        have = [isinstance(grid, dict) for grid in grids]
    return {**config, "grids": [{**grid, key: value} if has else grid for grid, has in zip(grids, have, strict=True)]}


def _set_path(config: Any, path: list[str], value: Any, key: str) -> Any:
    """Return a copy of nested mappings and lists with the entry at ``path`` replaced."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(config, list):
        if not head.isdigit() or int(head) >= len(config):
            raise VicinalError(f"--set {key}: {head!r} is no position in a list of {len(config)} (from 0)")
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
        lines = dict.fromkeys(f"{where}: {_explain(model, problem)}" for problem in error.errors())
        raise VicinalError("\n".join(lines)) from None


def _explain(model: type[BaseModel], problem: dict) -> str:
    """Return one line for one of pydantic's findings: field, what is wrong, what would be right."""
    # Names of union members and validators stand in the location between the keys; they are no keys.
    path = [str(part) for part in problem["loc"] if not re.fullmatch(r"(function|list|literal|str|float|constrained).*|[A-Z]\w*", str(part))]
    field = ".".join(path) or "the config"
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown key{nearest(path[-1], _sibling_keys(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{field}: required, but not given"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if problem["type"] == "value_error":
        return f"{field}: {message}"
    return f"{field}: {message}, found {problem['input']!r}"


def _sibling_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that are valid beside an unknown one; at the top the short keys of ``--set`` too."""
    if not path:
        return [*model.model_fields, *SHORT_KEYS, *GRID_KEYS]
    for part in path:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        model = next((m for m in _models_in(field.annotation) if m is not None), model) if field else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def json_schema() -> dict:
    """Return the JSON schema of a config file: an experiment or a collection."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Experiment | Collection).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Vicinal config", **schema}
