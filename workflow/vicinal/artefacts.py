"""What a run makes: data stores, teachers, cohorts of students, evaluations; and which of them an experiment needs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from vicinal.config import Experiment
from vicinal.spec import GIVEN, is_given


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
        """Tell whether it is not trained, and one for all seeds."""
        return is_given(self.spec)

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

    def names(self, needs: Callable[[Study], bool]) -> tuple[str, ...]:
        """Return the names of the studies that need something."""
        return tuple(name for name, study in self.studies.items() if needs(study))

    @property
    def students(self) -> dict[str, Student]:
        """Return the students of all cohorts, by id."""
        return {student.id: student for cohort in self.cohorts.values() for student in cohort.students.values()}
