"""What a run makes: data stores, teachers, cohorts of students, evaluations; and which of them an experiment needs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from vicinal.config import Experiment
from vicinal.models.pretrained import weights_path
from vicinal.results import STAGES
from vicinal.spec import GIVEN, is_given

# Paths of files by the names that rules give them. All paths here are those that Snakemake knows them by.
Inputs = dict[str, str | list[str]]


@dataclass(frozen=True)
class Store:
    """A prepared data set."""

    id: str
    spec: dict
    root: str

    @property
    def downloaded(self) -> bool:
        """Return whether its files come from the network."""
        return self.spec["source"] == "torchvision"

    @property
    def record(self) -> str:
        """Return the output of its job."""
        return f"results/data/{self.id}/data.json"

    @property
    def corruptions_record(self) -> str:
        """Return the output of the job that looks for its corrupted images."""
        return f"results/{STAGES['corruptions'].output_of(self.id)}"

    @property
    def inputs(self) -> Inputs:
        """Return what its job reads beside its plan."""
        return {"fetched": f"results/data/{self.id}.fetched.json"} if self.downloaded else {}


@dataclass(frozen=True)
class Teacher:
    """A teacher: trained, or given as weights.

    Attributes:
        file: of the weights, where it is given a file of the user.
    """

    id: str
    spec: dict
    store: Store
    columns: dict
    file: str | None = None

    @property
    def is_given(self) -> bool:
        """Return whether it is not trained, and one for all seeds."""
        return is_given(self.spec)

    @property
    def record(self) -> str:
        """Return the output of its job."""
        return f"results/teachers/{self.id}/teacher.json"

    @property
    def inputs(self) -> Inputs:
        """Return what its job reads beside its plan."""
        return {"data": self.store.record, **_weights_input(self.weights)}

    @property
    def measurement_inputs(self) -> Inputs:
        """Return what a measurement of it reads."""
        return {"data": self.store.record, "teacher": self.record}

    @property
    def weights(self) -> str | None:
        """Return the name of the published weights that it starts from, or is, if any."""
        return (self.spec.get("weights") or self.spec.get(GIVEN) or {}).get("name")


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

    @property
    def record(self) -> str:
        """Return the output of its job."""
        return f"results/cohorts/{self.id}/manifest.json"

    @property
    def inputs(self) -> Inputs:
        """Return what its job reads beside its plan."""
        return {"data": self.store.record, **self._teacher_input, **_weights_input(self.weights)}

    @property
    def measurement_inputs(self) -> Inputs:
        """Return what a measurement of it reads; students are compared with their teacher."""
        return {"data": self.store.record, "cohort": self.record, **self._teacher_input}

    @property
    def _teacher_input(self) -> Inputs:
        return {"teacher": self.teacher.record} if self.teacher else {}


@dataclass
class Evaluation:
    """The measurement of a teacher or of all students of a cohort."""

    id: str
    settings: dict
    unit: Teacher | Cohort

    @property
    def models(self) -> list[Teacher | Student]:
        """Return the models that are measured."""
        return models_of(self.unit)

    @property
    def record(self) -> str:
        """Return the output of its job."""
        return f"results/evaluations/{self.id}/manifest.json"

    @property
    def inputs(self) -> Inputs:
        """Return what its job reads beside its plan."""
        return self.unit.measurement_inputs


def models_of(unit: Teacher | Cohort) -> list[Teacher | Student]:
    """Return the models of a unit of measurement: a teacher, or all students of a cohort."""
    return [unit] if isinstance(unit, Teacher) else list(unit.students.values())


def robustness_inputs(unit: Teacher | Cohort) -> Inputs:
    """Return what the measurement of a unit on corrupted images reads beside its plan."""
    return {**unit.measurement_inputs, "corruptions": unit.store.corruptions_record}


def _weights_input(name: str | None) -> Inputs:
    return {"weights": f"results/weights/{name}.json"} if name else {}


@dataclass
class Corruptions:
    """The published corrupted versions of a data store's test images.

    Attributes:
        store: the data store.
        archive_state: see ``vicinal.data.corruptions.catalogue.planned_state``.
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
    # model id → positions of the blocks of the grid that ask for it
    blocks: dict[str, set[int]] = field(default_factory=dict)
    # model id → id of its teacher or cohort, where the models are measured on corrupted images too
    corrupted: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> list[Teacher | Cohort]:
        """Return its teachers and cohorts."""
        return [evaluation.unit for evaluation in self.evaluations.values()]

    @property
    def roles(self) -> dict[str, int]:
        """Return the number of models of each role."""
        return dict(Counter(columns["role"] for _, columns in self.models.values()))

    @property
    def inputs(self) -> Inputs:
        """Return what the job of its tables reads beside its plan."""
        found = {
            "data": self.store.record,
            "evaluations": [evaluation.record for evaluation in self.evaluations.values()],
            "robustness": [f"results/robustness/{unit}/manifest.json" for unit in sorted(set(self.corrupted.values()))],
        }
        return found | ({"corruptions": self.store.corruptions_record} if self.corrupted else {})

    @property
    def wants_corruptions(self) -> bool:
        """Return whether its models are measured on corrupted images, if there are any of its data."""
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

    def weights_file(self, unit: Teacher | Cohort) -> str | None:
        """Return the file of weights that a unit starts from, or is given; None: there is none."""
        if isinstance(unit, Teacher) and unit.file:
            return unit.file
        return str(weights_path(self.weights[unit.weights], unit.weights)) if unit.weights else None

    def names(self, needs: Callable[[Study], bool]) -> tuple[str, ...]:
        """Return the names of the studies that need something."""
        return tuple(name for name, study in self.studies.items() if needs(study))

    @property
    def students(self) -> dict[str, Student]:
        """Return the students of all cohorts, by id."""
        return {student.id: student for cohort in self.cohorts.values() for student in cohort.students.values()}
