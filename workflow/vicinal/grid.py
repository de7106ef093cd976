"""From an experiment to its artefacts: which stores, teachers, cohorts and students it needs.

The same artefact of several blocks or experiments is one artefact: all are kept by id.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vicinal.config import Experiment, Grid, Loss, Recipe
from vicinal.config import Teacher as TeacherEntry
from vicinal.data.catalogue import split_defaults
from vicinal.data.corruptions import ARCHIVES
from vicinal.errors import VicinalError
from vicinal.models.pretrained import WEIGHTS, weights_name
from vicinal.models.registry import architecture
from vicinal.spec import PHOTOS, artefact_id, canonical_fields, joined_id, normalise, number


@dataclass(frozen=True)
class Store:
    """A prepared data set."""

    id: str
    spec: dict
    root: str

    @property
    def downloaded(self) -> bool:
        """Tell whether its files come from the network."""
        return self.spec["source"] == "torchvision"


@dataclass(frozen=True)
class Teacher:
    """A trained teacher."""

    id: str
    spec: dict
    store: Store
    columns: dict

    @property
    def weights(self) -> str | None:
        """Return the name of the published weights that it starts from, if any."""
        return self.spec.get("weights", {}).get("name")


@dataclass(frozen=True)
class Student:
    """A student, and what sets it apart from the others of its cohort (``own``)."""

    id: str
    spec: dict
    own: dict
    columns: dict


@dataclass
class Cohort:
    """Students that share everything but temperature, logit scale and loss weights; trained in one process."""

    id: str
    spec: dict
    store: Store
    teacher: Teacher | None
    students: dict[str, Student] = field(default_factory=dict)

    @property
    def weights(self) -> str | None:
        """Return the name of the published weights that its students start from, if any."""
        return self.spec.get("weights", {}).get("name")


@dataclass
class Evaluation:
    """The measurement of a teacher or of all students of a cohort."""

    id: str
    settings: dict
    unit: Teacher | Cohort

    @property
    def models(self) -> list[Teacher | Student]:
        """Return the models that are measured."""
        return measured_models(self.unit)


def measured_models(unit: Teacher | Cohort) -> list[Teacher | Student]:
    """Return the models of a unit of measurement: a teacher, or all students of a cohort."""
    return [unit] if isinstance(unit, Teacher) else list(unit.students.values())


@dataclass
class Corruptions:
    """The published corrupted versions of a data store's test images.

    Attributes:
        store: the data store.
        archive_state: see ``vicinal.data.corruptions.planned_state``.
    """

    store: Store
    archive_state: list[int] | None = None


@dataclass
class Study:
    """All artefacts of one experiment, by id."""

    experiment: Experiment
    store: Store
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    # model id → (evaluation id, columns): an evaluation may hold models of other experiments too
    models: dict[str, tuple[str, dict]] = field(default_factory=dict)
    # model id → id of its teacher or cohort, where the models are measured on corrupted images too
    corrupted: dict[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, int]:
        """Return the number of models of each role."""
        return dict(Counter(columns["role"] for _, columns in self.models.values()))

    @property
    def wants_corruptions(self) -> bool:
        """Tell whether its models are measured on corrupted images, if there are any of its data."""
        return self.experiment.evaluation.corruptions


@dataclass
class Artefacts:
    """All artefacts of all experiments that run together, by id."""

    stores: dict[str, Store] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    cohorts: dict[str, Cohort] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    corruptions: dict[str, Corruptions] = field(default_factory=dict)  # by the id of the data store
    corrupted: dict[str, Teacher | Cohort] = field(default_factory=dict)  # what is measured on corrupted images
    studies: dict[str, Study] = field(default_factory=dict)
    collection: str | None = None  # name of the collection that the studies come from
    skipped: dict[str, str] = field(default_factory=dict)  # its experiments that are left out, each with the reason

    @property
    def weights(self) -> dict[str, str]:
        """Return the names of the published weights that networks start from, with the root of all data."""
        units = (*self.teachers.values(), *self.cohorts.values())
        return {unit.weights: unit.store.root for unit in units if unit.weights}

    @property
    def students(self) -> dict[str, Student]:
        """Return the students of all cohorts, by id."""
        return {student.id: student for cohort in self.cohorts.values() for student in cohort.students.values()}


def expand(experiments: list[tuple[Experiment, dict]], collection: str | None = None) -> Artefacts:
    """Return the artefacts of experiments, each given with the content identity of its data (``resolve_source``)."""
    artefacts = Artefacts(collection=collection)
    for experiment, content in experiments:
        _add(artefacts, experiment, content)
    return artefacts


def _add(artefacts: Artefacts, experiment: Experiment, content: dict) -> None:
    store = _store(experiment, content)
    store = artefacts.stores.setdefault(store.id, store)
    study = artefacts.studies[experiment.name] = Study(experiment, store)
    teachers = _Teachers(experiment, store)
    for grid in experiment.grids:
        for point in _points(experiment, grid):
            teacher = None
            if point.teacher:
                teacher = teachers.get(point.teacher, point.seed)
                teacher = artefacts.teachers.setdefault(teacher.id, teacher)
                _measure(artefacts, study, teacher, [teacher])
            cohort, students = _cohort(experiment, store, teacher, point, grid)
            cohort = artefacts.cohorts.setdefault(cohort.id, cohort)
            students = [cohort.students.setdefault(student.id, student) for student in students]
            _measure(artefacts, study, cohort, students)


def _measure(artefacts: Artefacts, study: Study, unit: Teacher | Cohort, models: list[Teacher | Student]) -> None:
    """Add the evaluation of a unit to the artefacts, and the study's models of it to the study."""
    settings = study.experiment.evaluation.model_dump(exclude={"corruptions"})
    spec = {"stage": "evaluation", "unit": unit.id, **settings}
    evaluation = Evaluation(artefact_id(f"{unit.id[:-9]}_p{settings['pairs']}", spec), settings, unit)
    study.evaluations[evaluation.id] = artefacts.evaluations.setdefault(evaluation.id, evaluation)
    for model in models:
        study.models[model.id] = (evaluation.id, model.columns)
    if study.wants_corruptions and study.store.spec["name"] in ARCHIVES:
        artefacts.corruptions.setdefault(study.store.id, Corruptions(study.store))
        artefacts.corrupted[unit.id] = unit
        study.corrupted |= {model.id: unit.id for model in models}


@dataclass(frozen=True)
class _Point:
    """One combination of those lists of a grid that its cohorts differ in."""

    student: str
    method: str
    teacher: TeacherEntry | None
    seed: int
    alpha: float | None


def _points(experiment: Experiment, grid: Grid) -> Iterator[_Point]:
    for seed in grid.seeds or experiment.seeds:
        for student in grid.students:
            for method in grid.methods:
                for alpha in grid.alphas if method.endswith("_mixup") else [None]:
                    for teacher in [None] if method.startswith("ce") else grid.teachers:
                        yield _Point(student, method, teacher, seed, alpha)


def _cohort(
    experiment: Experiment, store: Store, teacher: Teacher | None, point: _Point, grid: Grid
) -> tuple[Cohort, list[Student]]:
    """Return the cohort of a grid point, and the students of the grid that belong to it."""
    if teacher and experiment.recipe.schedule == "plateau":
        raise VicinalError(
            "recipe.schedule: plateau follows a network's own validation loss, and the students of a cohort share one "
            "learning rate; use it in teacher_recipe alone"
        )
    shared = {
        "stage": "student",
        "data": store.spec,
        "model": architecture(point.student),
        "recipe": resolve_recipe(experiment.recipe, point.student),
        "weights": initial_weights(experiment.recipe, point.student),
        "seed": point.seed,
        "alpha": point.alpha,
        "teacher": teacher.spec if teacher else None,
    }
    origin = f"from_{teacher.columns['slug']}" if teacher else "ce"
    alpha = f"_a{number(point.alpha)}" if point.alpha else ""
    slug = f"{point.student}_{origin}{alpha}"
    fields, spec = canonical_fields(shared), normalise(shared)
    columns = {
        "role": "student",
        "data": experiment.data.name,
        "model": point.student,
        "method": point.method,
        "seed": point.seed,
        "alpha": point.alpha,
        "teacher": teacher.columns["model"] if teacher else None,
        "teacher_mixup_alpha": teacher.columns["alpha"] if teacher else None,
        "teacher_id": teacher.id if teacher else None,
        **pretraining_columns(spec, teacher),
        **recipe_columns(shared["recipe"]),
        **data_columns(store.spec),
    }
    students = []
    for own in _own(grid, grid.loss or experiment.loss) if teacher else [{"loss": {"ce_weight": 1.0}}]:
        id_ = joined_id(f"{slug}{_own_slug(own) if teacher else ''}_s{point.seed}", fields, canonical_fields(own))
        own_columns = {
            "temperature": number(own["temperature"]) if teacher else None,
            "logit_scale": own["logit_scale"] if teacher else None,
            **weight_columns(own["loss"]),
        }
        own = normalise(own)
        students.append(Student(id_, {**spec, **own}, own, {**columns, **own_columns}))
    return Cohort(joined_id(f"{slug}_s{point.seed}", fields), spec, store, teacher), students


def _own(grid: Grid, loss: Loss) -> Iterator[dict[str, Any]]:
    """Yield what sets the students of a cohort apart."""
    for temperature in grid.temperatures:
        for scale in grid.logit_scales:
            yield {"temperature": temperature, "logit_scale": scale, "loss": loss.model_dump()}


def _own_slug(own: dict) -> str:
    scale = f"_c{number(own['logit_scale'])}" if own["logit_scale"] != 1 else ""
    weights = [
        f"_{name.removesuffix('_weight')}{number(weight)}"
        for name, weight in sorted(own["loss"].items())
        if weight != Loss.model_fields[name].default
    ]
    return f"_t{number(own['temperature'])}{scale}{''.join(weights)}"


def _store(experiment: Experiment, content: dict) -> Store:
    data = experiment.data
    defaults = split_defaults(data.name, content["source"])
    if any(file.startswith("val") for file in content["files"]):
        defaults["validation"] = None  # the source has a validation split of its own
    spec = {
        "stage": "data",
        "name": data.name,
        **content,
        "validation": data.validation if data.validation is not None else defaults["validation"],
        "split_seed": data.split_seed,
        "limit_train": data.limit_train if data.limit_train is not None else defaults["train"],
        "limit_test": data.limit_test,
    }
    if data.store == PHOTOS:
        spec |= {"store": PHOTOS, "shorter_side": data.shorter_side, "quality": data.quality}
        spec["bad_share"] = data.bad_share
        if data.name == "imagenet":
            spec["validation"] = data.validation  # 10,000 of its validation photos
    elif content["source"] == "folder":
        raise VicinalError(f"data.store: {data.name} is a folder of photos: set it to photos")
    return Store(artefact_id(data.name, spec), normalise(spec), data.root)


class _Teachers:
    """The teachers of an experiment, each made once: many students share one."""

    def __init__(self, experiment: Experiment, store: Store) -> None:
        self.experiment, self.store = experiment, store
        self._made: dict[tuple[TeacherEntry, int], Teacher] = {}

    def get(self, entry: TeacherEntry, seed: int) -> Teacher:
        """Return the teacher of a seed."""
        if (entry, seed) not in self._made:
            self._made[entry, seed] = _teacher(self.experiment, self.store, entry, seed)
        return self._made[entry, seed]


def _teacher(experiment: Experiment, store: Store, entry: TeacherEntry, seed: int) -> Teacher:
    changes = experiment.teacher_recipe.model_dump(exclude_none=True)
    own = Recipe.model_validate({**experiment.recipe.model_dump(), **changes})
    recipe = resolve_recipe(own, entry.model)
    spec = {
        "stage": "teacher",
        "data": store.spec,
        "model": architecture(entry.model),
        "recipe": recipe,
        "weights": initial_weights(own, entry.model),
        "seed": seed,
        "alpha": entry.mixup_alpha,
        "loss": {"ce_weight": 1.0},
    }
    slug = f"{entry.model}_mix{number(entry.mixup_alpha)}" if entry.mixup_alpha else entry.model
    columns = {
        "role": "teacher",
        "data": experiment.data.name,
        "model": entry.model,
        "method": "ce_mixup" if entry.mixup_alpha else "ce",
        "seed": seed,
        "alpha": entry.mixup_alpha,
        "slug": slug,
        **weight_columns(spec["loss"]),
        **pretraining_columns(spec),
        **recipe_columns(recipe),
        **data_columns(store.spec),
    }
    return Teacher(artefact_id(f"{slug}_s{seed}", spec), normalise(spec), store, columns)


# Fields that only some schedules use.
SCHEDULES = {
    "step": {"milestones", "gamma"},
    "piecewise": {"milestones", "factors"},
    "plateau": {"gamma", "patience", "lr_min"},
}


def resolve_recipe(recipe: Recipe, model: str) -> dict[str, Any]:
    """Return the recipe of one model: its own learning rate, and only the fields that are used."""
    unused = {"lr_by_model", "schedule_scale"}
    if recipe.optimizer != "sgd":
        unused |= {"momentum", "nesterov"}
    unused |= set().union(*SCHEDULES.values()) - SCHEDULES.get(recipe.schedule, set())
    if not recipe.head_epochs:
        unused |= {"head_epochs", "head_lr"}
    resolved = recipe.model_dump(exclude=unused)
    resolved["lr"] = recipe.lr_by_model.get(model, recipe.lr)
    for epochs in resolved.keys() & {"epochs", "head_epochs"}:
        resolved[epochs] = max(1, round(recipe.schedule_scale * resolved[epochs]))
    return resolved


def initial_weights(recipe: Recipe, model: str) -> dict[str, Any] | None:
    """Return the published weights that a network starts from, by name and checksum; None for fresh ones.

    Raises:
        VicinalError: it is to start from such weights, and there are none.
    """
    if not recipe.pretrained:
        return None
    name = weights_name(architecture(model))
    if name is None:
        raise VicinalError(f"recipe.pretrained: there are no published weights of {model}; set it to false")
    return {"name": name, "sha256": WEIGHTS[name].sha256}


def pretraining_columns(spec: dict[str, Any], teacher: Teacher | None = None) -> dict[str, bool]:
    """Return whether the weights that a model, and its teacher, started from were trained with mixup; else nothing."""
    columns = {}
    if spec.get("weights"):
        columns["pretraining_mixup"] = WEIGHTS[spec["weights"]["name"]].pretraining_mixup
    if teacher and teacher.weights:
        columns["teacher_pretraining_mixup"] = WEIGHTS[teacher.weights].pretraining_mixup
    return columns


def weight_columns(loss: dict[str, float]) -> dict[str, float]:
    """Return the weight of each term that there is as columns of a table; 0 for those that a model does not have."""
    return {name: loss.get(name, 0.0) for name in Loss.model_fields}


def recipe_columns(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as columns of a table: one value each, lists as text."""
    return {
        f"recipe_{key}": " ".join(map(number, value)) if isinstance(value, list) else value
        for key, value in recipe.items()
    }


def data_columns(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a data set as columns of a table (its name has one of its own)."""
    own = ("source", "validation", "split_seed", "limit_train", "limit_test")
    return {f"data_{key}": spec.get(key) for key in own}
