"""What a run makes: data stores, teachers, cohorts of students, evaluations; and which of them an experiment needs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from vicinal.config import Experiment
from vicinal.models.pretrained import weights_path
from vicinal.results import MEASURED, STAGES
from vicinal.spec import GIVEN, is_given

# Stage and id of an artefact.
Ref = tuple[str, str]
# What a job reads beside its plan: paths as Snakemake knows them, by the names that rules give them.
JobInputs = dict[str, str | list[str]]


def record_of(stage: str, id_: str) -> str:
    """Return the output of a job, as Snakemake knows it."""
    return f"results/{STAGES[stage].output_of(id_)}"


class _Artefact:
    """What one job makes."""

    stage: str  # a key of ``STAGES``
    id: str  # within its stage

    @property
    def ref(self) -> Ref:
        """Return stage and id."""
        return self.stage, self.id

    @property
    def record(self) -> str:
        """Return the output of its job."""
        return record_of(*self.ref)


@dataclass(frozen=True)
class DataSet(_Artefact):
    """A data set, prepared as a store (``vicinal.data.store``)."""

    stage = "data"
    id: str
    spec: dict
    root: str

    @property
    def downloaded(self) -> bool:
        """Return whether its files come from the network."""
        return self.spec["source"] == "torchvision"

    @property
    def inputs(self) -> JobInputs:
        """Return what its job reads beside its plan."""
        return {"fetched": record_of("downloads", self.id)} if self.downloaded else {}


class _Unit(_Artefact):
    """What one job trains: a teacher, or a cohort of students."""

    spec: dict
    store: DataSet
    teacher: "Teacher | None" = None  # that it learns from, if any

    @property
    def weights(self) -> str | None:
        """Return the name of the published weights that its networks start from, or are, if any."""
        return (self.spec.get("weights") or self.spec.get(GIVEN) or {}).get("name")

    @property
    def inputs(self) -> JobInputs:
        """Return what its job reads beside its plan."""
        weights = {"weights": record_of("weights", self.weights)} if self.weights else {}
        teacher = {"teacher": self.teacher.record} if self.teacher else {}
        return {"data": self.store.record, **weights, **teacher}


@dataclass(frozen=True)
class Teacher(_Unit):
    """A teacher: trained, or given as weights."""

    stage = "teachers"
    id: str
    spec: dict
    store: DataSet
    columns: dict  # what it was made of, as columns of the tables
    file: str | None = None  # of the weights, if it is given a file of the user

    @property
    def is_given(self) -> bool:
        """Return whether it is not trained, and one for all seeds."""
        return is_given(self.spec)

    @property
    def models(self) -> list["Teacher"]:
        """Return the models that are measured together: itself."""
        return [self]


@dataclass(frozen=True)
class Student:
    """A student, what sets it apart from the others of its cohort (``own``), and its columns of the tables."""

    id: str
    spec: dict
    own: dict
    columns: dict


@dataclass
class Cohort(_Unit):
    """Students that share all but mixup strength, temperature, logit scale and loss weights; one job trains them."""

    stage = "cohorts"
    id: str
    spec: dict
    store: DataSet
    teacher: Teacher | None
    students: dict[str, Student] = field(default_factory=dict)

    @property
    def models(self) -> list[Student]:
        """Return the models that are measured together: its students."""
        return list(self.students.values())


@dataclass
class Measurement(_Artefact):
    """What one job measures: a teacher and students of one seed, its own and those without a teacher."""

    stage: str  # ``evaluations``, or ``robustness``: on corrupted images
    id: str
    settings: dict  # of the measurement
    store: DataSet  # the data
    teacher: Teacher | None  # that the students are compared with; None: there is none in their block of the grid
    seed: int | None  # of the models; None of a given teacher, which has none
    ood: dict[str, DataSet]  # other data sets by name, whose test images are told from those of the data
    units: dict[str, Teacher | Cohort] = field(default_factory=dict)  # the measured teachers and cohorts, by id

    @property
    def models(self) -> list[Teacher | Student]:
        """Return the measured models."""
        return [model for unit in self.units.values() for model in unit.models]

    @property
    def inputs(self) -> JobInputs:
        """Return what its job reads beside its plan."""
        teacher = {"teacher": self.teacher.record} if self.teacher else {}
        cohorts = {"cohorts": [unit.record for unit in self.units.values() if isinstance(unit, Cohort)]}
        corruptions = {"corruptions": record_of("corruptions", self.store.id)} if self.stage == "robustness" else {}
        ood = {"ood": [store.record for store in self.ood.values()]} if self.stage == "evaluations" else {}
        return {"data": self.store.record, **teacher, **cohorts, **corruptions, **ood}


@dataclass
class Study:
    """All artefacts of one experiment, by id."""

    experiment: Experiment  # the experiment
    store: DataSet  # its data; where each seed has its own training images, those of the first seed
    ood: dict[str, DataSet] = field(default_factory=dict)  # other data sets by name, see ``Measurement``
    units: dict[str, Teacher | Cohort] = field(default_factory=dict)  # its teachers and cohorts, by id
    # Model id → (evaluation id, columns of the tables); an evaluation may measure models of other experiments too.
    models: dict[str, tuple[str, dict]] = field(default_factory=dict)
    # Model id → names of the blocks of the grid that ask for it.
    blocks: dict[str, set[str]] = field(default_factory=dict)
    # Model id → id of its measurement on corrupted images, if there is one.
    corrupted: dict[str, str] = field(default_factory=dict)

    @property
    def stores(self) -> list[str]:
        """Return the ids of the data of all its seeds."""
        return sorted({self.store.id, *(unit.store.id for unit in self.units.values())})

    @property
    def roles(self) -> dict[str, int]:
        """Return the number of models of each role."""
        return dict(Counter(columns["role"] for _, columns in self.models.values()))

    @property
    def inputs(self) -> JobInputs:
        """Return what the job of its tables reads beside its plan."""
        measured = {stage: [record_of(stage, id_) for id_ in getattr(self, stage)] for stage in MEASURED}
        corruptions = {"corruptions": record_of("corruptions", self.store.id)} if self.corrupted else {}
        return {"data": self.store.record, **measured, **corruptions}

    @property
    def evaluations(self) -> list[str]:
        """Return the ids of the measurements of its models."""
        return sorted({evaluation for evaluation, _ in self.models.values()})

    @property
    def robustness(self) -> list[str]:
        """Return the ids of the measurements of its models on corrupted images."""
        return sorted(set(self.corrupted.values()))

    @property
    def wants_corruptions(self) -> bool:
        """Return whether its models are measured on corrupted images, if there are any of its data."""
        return self.experiment.evaluation.corruptions


@dataclass
class Artefacts:
    """All artefacts of all experiments that run together, by id."""

    stores: dict[str, DataSet] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    cohorts: dict[str, Cohort] = field(default_factory=dict)
    evaluations: dict[str, Measurement] = field(default_factory=dict)
    # Id of a data store → state of the archive of its published corrupted test images (``planned_state``).
    corruptions: dict[str, list[int] | None] = field(default_factory=dict)
    robustness: dict[str, Measurement] = field(default_factory=dict)  # the measurements on corrupted images
    studies: dict[str, Study] = field(default_factory=dict)  # by the name of the experiment
    collection: str | None = None  # name of the collection that the experiments come from, if any
    # Experiments of the collection that are left out, each with the reason.
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, str]:
        """Return the names of the published weights that networks start from, with the root of all data."""
        return {unit.weights: unit.store.root for unit in self.units.values() if unit.weights}

    @property
    def units(self) -> dict[Ref, Teacher | Cohort]:
        """Return what is trained, or given as weights."""
        units: list[Teacher | Cohort] = [*self.teachers.values(), *self.cohorts.values()]
        return {unit.ref: unit for unit in units}

    @property
    def students(self) -> dict[str, Student]:
        """Return the students of all cohorts, by id."""
        return {student.id: student for cohort in self.cohorts.values() for student in cohort.students.values()}

    def first_seeds(self) -> dict[Ref, int]:
        """Return the lowest seed that needs a store, teacher, cohort or measurement, of those that belong to a seed."""
        found: dict[Ref, int] = {}
        needs: list[tuple[int | None, tuple[_Artefact | None, ...]]]
        needs = [(unit.spec.get("seed"), (unit, unit.store, unit.teacher)) for unit in self.units.values()]
        needs += [(each.seed, (each,)) for each in (*self.evaluations.values(), *self.robustness.values())]
        for seed, ref in ((seed, each.ref) for seed, needed in needs for each in needed if each and seed is not None):
            found[ref] = min(seed, found.get(ref, seed))
        return found

    def weights_file(self, unit: Teacher | Cohort) -> str | None:
        """Return the file of weights that a unit starts from, or is given; None: there is none."""
        if isinstance(unit, Teacher) and unit.file:
            return unit.file
        return str(weights_path(self.weights[unit.weights], unit.weights)) if unit.weights else None

    def names(self, needs: Callable[[Study], bool]) -> tuple[str, ...]:
        """Return the names of the studies that need something."""
        return tuple(name for name, study in self.studies.items() if needs(study))
