"""From an experiment to its artefacts: which stores, teachers, cohorts and students it needs.

What several blocks or experiments ask for is made once: artefacts are kept by id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vicinal.config import PUBLISHED, Experiment, Grid, Loss, TeacherEntry
from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.errors import VicinalError
from vicinal.models.registry import architecture
from vicinal.planning.artefacts import Artefacts, Cohort, DataSet, Measurement, Student, Study, Teacher
from vicinal.planning.columns import data_columns, pretraining_columns, recipe_columns, weight_columns
from vicinal.planning.data_sets import ood_stores, prepared
from vicinal.planning.recipes import initial_weights, inputs_recipe, published_weights, resolve_recipe
from vicinal.spec import GIVEN, artefact_id, canonical_fields, exact_number, joined_id, normalise


def expand(
    experiments: list[tuple[Experiment, dict]],
    collection: str | None = None,
    sums: Mapping[str, str] | None = None,
    ood: Mapping[str, Mapping[str, dict]] | None = None,
) -> Artefacts:
    """Return the artefacts of experiments.

    Args:
        experiments: each with the content identity of its data (``resolve_source``).
        collection: name of the collection that they come from, if any.
        sums: path → SHA-256 of the files of weights that teachers are given (``given_sums``).
        ood: for each experiment the content identity of its other data sets, by name.
    """
    artefacts = Artefacts(collection=collection)
    for experiment, content in experiments:
        others = ood_stores(experiment, (ood or {}).get(experiment.name, {}))
        artefacts.stores |= {store.id: store for store in others.values()}
        _add(artefacts, experiment, content, sums or {}, others)
    return artefacts


def _add(
    artefacts: Artefacts, experiment: Experiment, content: dict, sums: Mapping[str, str], ood: dict[str, DataSet]
) -> None:
    @cache
    def store_of(seed: int) -> DataSet:
        store = prepared(experiment.data, content, seed)
        return artefacts.stores.setdefault(store.id, store)

    study = artefacts.studies[experiment.name] = Study(experiment, store_of(experiment.seeds[0]), ood)

    @cache
    def teacher_of(entry: TeacherEntry, seed: int) -> Teacher:
        if entry.weights:
            # It is one for all seeds, whichever these are.
            teacher = _given_teacher(experiment, store_of(0), entry, sums)
        else:
            teacher = _trained_teacher(experiment, store_of(seed), entry, seed)
        return artefacts.teachers.setdefault(teacher.id, teacher)

    compared: dict[str, Teacher] = {}
    for block, grid in experiment.grids.items():
        distilled = {
            alpha: [
                _Own({**own, "alpha": alpha}, _own_slug(own)) for own in _settings(grid, grid.loss or experiment.loss)
            ]
            for alpha in [None, *grid.alphas]
        }
        for point in _points(experiment, grid):
            teacher = teacher_of(point.teacher, point.seed) if point.teacher else None
            if teacher:
                _measure(artefacts, study, teacher, [teacher], teacher, teacher.columns["seed"])
            own = distilled[point.alpha] if teacher else [_Own({"loss": {"ce_weight": 1.0}, "alpha": point.alpha})]
            cohort, students = _cohort(experiment, store_of(point.seed), teacher, point, own)
            cohort = artefacts.cohorts.setdefault(cohort.id, cohort)
            students = [cohort.students.setdefault(student.id, student) for student in students]
            if not teacher and grid.teachers and any(method.startswith("kd") for method in grid.methods):
                # Measured beside the first teacher of the first block with distillation that has them.
                compared.setdefault(cohort.id, teacher_of(grid.teachers[0], point.seed))
            _measure(artefacts, study, cohort, students, teacher or compared.get(cohort.id), point.seed)
            for id_ in [*(student.id for student in students), *([teacher.id] if teacher else [])]:
                study.blocks.setdefault(id_, set()).add(block)


def _measure(
    artefacts: Artefacts,
    study: Study,
    unit: Teacher | Cohort,
    models: Sequence[Teacher | Student],
    teacher: Teacher | None,
    seed: int | None,
) -> None:
    """Add a unit to the measurements of its teacher and seed, and the models that the study asks for to the study."""
    study.units[unit.id] = unit
    slug = f"{teacher.columns['slug'] if teacher else 'no_teacher'}{'' if seed is None else f'_s{seed}'}"

    def measured(stage: str, slug: str, settings: dict) -> str:
        spec = {"stage": stage, "data": unit.store.id, "teacher": teacher.id if teacher else None, "seed": seed}
        id_ = artefact_id(slug, {**spec, **settings})
        measurement = Measurement(stage, id_, settings, unit.store, teacher, seed, study.ood)
        getattr(artefacts, stage).setdefault(id_, measurement).units[unit.id] = unit
        return id_

    settings = study.experiment.evaluation.model_dump(exclude={"corruptions", "ood"})
    if study.ood:
        settings["ood"] = {name: store.id for name, store in study.ood.items()}
    evaluation = measured("evaluations", f"{slug}_p{settings['pairs']}", settings)
    study.models |= {model.id: (evaluation, model.columns) for model in models}
    if study.wants_corruptions and study.store.spec["name"] in ARCHIVES:
        artefacts.corruptions[unit.store.id] = None
        corrupted = measured("robustness", slug, {})
        study.corrupted |= {model.id: corrupted for model in models}


class _Own:
    """What sets a student apart in its cohort, made once for all cohorts of a grid: there may be many."""

    def __init__(self, own: dict[str, Any], slug: str = "") -> None:
        self.slug = f"_a{exact_number(own['alpha'])}{slug}" if own["alpha"] else slug
        self.spec = normalise(own)
        self.fields = canonical_fields(self.spec)
        self.columns = {
            "alpha": own["alpha"],
            "temperature": exact_number(own["temperature"]) if "temperature" in own else None,
            "logit_scale": own.get("logit_scale"),
            **weight_columns(own["loss"]),
        }


@dataclass(frozen=True)
class _Point:
    """One combination of the lists of a grid: students of one method, mixup strength, seed and teacher."""

    student: str
    method: str
    teacher: TeacherEntry | None
    seed: int
    alpha: float | None


def _points(experiment: Experiment, grid: Grid) -> Iterator[_Point]:
    for seed in grid.seeds or experiment.seeds:
        for student in grid.students:
            for method in grid.methods:
                teachers: Sequence[TeacherEntry | None] = [None] if method.startswith("ce") else grid.teachers or []
                for alpha in grid.alphas if method.endswith("_mixup") else [None]:
                    for teacher in teachers:
                        yield _Point(student, method, teacher, seed, alpha)


def _cohort(
    experiment: Experiment, store: DataSet, teacher: Teacher | None, point: _Point, students: list[_Own]
) -> tuple[Cohort, list[Student]]:
    """Return the cohort of a grid point, and its students."""
    if teacher and experiment.recipe.schedule == "plateau":
        raise VicinalError(
            "recipe.schedule: plateau follows a network's own validation loss, and the students of a cohort share one "
            "learning rate; use it in teacher_recipe alone"
        )
    recipe = resolve_recipe(experiment.recipe, point.student)
    shared = {
        "stage": "student",
        "data": store.spec,
        "model": architecture(point.student),
        "recipe": recipe,
        "weights": initial_weights(experiment.recipe, point.student),
        "seed": point.seed,
        "teacher": teacher.spec if teacher else None,
    }
    origin = f"from_{teacher.columns['slug']}" if teacher else "ce"
    slug = f"{point.student}_{origin}"
    spec = normalise(shared)
    fields = canonical_fields(spec)
    columns = {
        "role": "student",
        "data": experiment.data.name,
        "model": point.student,
        "method": point.method,
        "seed": point.seed,
        "alpha": None,
        "teacher": teacher.columns["model"] if teacher else None,
        "teacher_mixup_alpha": teacher.columns["alpha"] if teacher else None,
        "teacher_id": teacher.id if teacher else None,
        **pretraining_columns(spec, teacher),
        **({"teacher_weights": teacher.columns["weights"]} if teacher and teacher.is_given else {}),
        **recipe_columns(recipe),
        **data_columns(store.spec),
    }
    made = []
    for own in students:
        id_ = joined_id(f"{slug}{own.slug}_s{point.seed}", fields, own.fields)
        made.append(Student(id_, {**spec, **own.spec}, own.spec, {**columns, **own.columns}))
    return Cohort(joined_id(f"{slug}_s{point.seed}", fields), spec, store, teacher), made


def _settings(grid: Grid, loss: Loss) -> Iterator[dict[str, Any]]:
    """Yield what sets the distilled students of one method apart."""
    for temperature in grid.temperatures:
        for scale in grid.logit_scales:
            yield {"temperature": temperature, "logit_scale": scale, "loss": loss.model_dump()}


def _own_slug(own: dict) -> str:
    scale = f"_c{exact_number(own['logit_scale'])}" if own["logit_scale"] != 1 else ""
    weights = [
        f"_{name.removesuffix('_weight')}{exact_number(weight)}"
        for name, weight in sorted(own["loss"].items())
        if weight != Loss.model_fields[name].default
    ]
    return f"_t{exact_number(own['temperature'])}{scale}{''.join(weights)}"


def _given_teacher(experiment: Experiment, store: DataSet, entry: TeacherEntry, sums: Mapping[str, str]) -> Teacher:
    """Return a teacher that is not trained, one for all seeds.

    The mixup that it was trained with elsewhere is a column and not in its spec: it does not change its answers.
    """
    is_published = entry.weights == PUBLISHED
    given = published_weights(entry.model) if is_published else {"sha256": sums[str(entry.weights)]}
    recipe = inputs_recipe(experiment.recipe)
    spec = {
        "stage": "teacher",
        "data": store.spec,
        "model": architecture(entry.model),
        "recipe": recipe,
        GIVEN: given,
        "normalisation": entry.normalisation.model_dump() if entry.normalisation else None,
    }
    slug = f"{entry.model}_{PUBLISHED if is_published else GIVEN}"
    normalised = f" (normalised by {entry.normalisation.words})" if entry.normalisation else ""
    columns = {
        **_teacher_columns(experiment, store, entry, None, slug, recipe),
        "weights": PUBLISHED if is_published else f"file {given['sha256'][:8]}{normalised}",
    }
    file = None if is_published else entry.weights
    return Teacher(artefact_id(slug, spec), normalise(spec), store, columns, file)


def _trained_teacher(experiment: Experiment, store: DataSet, entry: TeacherEntry, seed: int) -> Teacher:
    own = experiment.recipe_of_teachers()
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
    slug = f"{entry.model}_mix{exact_number(entry.mixup_alpha)}" if entry.mixup_alpha else entry.model
    columns = {**_teacher_columns(experiment, store, entry, seed, slug, recipe), **pretraining_columns(spec)}
    return Teacher(artefact_id(f"{slug}_s{seed}", spec), normalise(spec), store, columns)


def _teacher_columns(
    experiment: Experiment, store: DataSet, entry: TeacherEntry, seed: int | None, slug: str, recipe: dict[str, Any]
) -> dict[str, Any]:
    return {
        "role": "teacher",
        "data": experiment.data.name,
        "model": entry.model,
        "method": "ce_mixup" if entry.trained_with else "ce",
        "seed": seed,
        "alpha": entry.trained_with,
        "slug": slug,
        **weight_columns({"ce_weight": 1.0}),
        **recipe_columns(recipe),
        **data_columns(store.spec),
    }
