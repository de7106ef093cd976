"""What each block of the grid, and each seed, alone adds to a run: what leaving it out would save.

A model that several blocks ask for is made once, and leaving one of them out saves nothing of it: it counts as shared.
So does what a job does once for students of several blocks: its start-up, and the teacher's answers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

from vicinal.config import Grid
from vicinal.planning.artefacts import Artefacts
from vicinal.running.estimate.jobs import Jobs
from vicinal.words import number

SHARED = "shared"
# Models that are trained, by the stage of their jobs.
TRAINED = {"teachers": "teacher", "cohorts": "student"}
# Lists of a block that are named where they have several entries.
LISTS = ("alphas", "temperatures", "logit_scales", "seeds")


@dataclass(frozen=True)
class Part:
    """What one block or seed alone asks for.

    Attributes:
        name: of the block or seed, or ``SHARED`` for what several ask for.
        what: the block's content, short.
        students: that would be trained.
        teachers: that would be trained.
        hours: of the GPU, or of CPU cores, of training and measuring.
    """

    name: str
    what: str
    students: int
    teachers: int
    hours: float


def block_parts(jobs: Jobs) -> list[Part]:
    """Return a part for each block, in the order of the config, and one for what they share."""
    studies = jobs.artefacts.studies
    owners: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for name, study in studies.items():
        for id_, blocks in study.blocks.items():
            owners[id_] |= {(name, block) for block in blocks}
    keys = {
        (name, position): (block_name(name if len(studies) > 1 else "", position), block_content(block))
        for name, study in studies.items()
        for position, block in enumerate(study.experiment.grids)
    }
    return _parts(jobs, keys, owners)


def seed_parts(jobs: Jobs) -> list[Part]:
    """Return a part for each seed, and one for what they share."""
    owners = {id_: {seed} for id_, seed in _seeds(jobs.artefacts).items() if seed is not None}
    seeds = sorted(set().union(*owners.values()))
    return _parts(jobs, {seed: (f"seed {seed}", "") for seed in seeds}, owners)


def block_name(experiment: str, position: int) -> str:
    """Return what a block is called: by its place in the config, as ``--set`` takes it."""
    return f"{experiment} grids.{position}".lstrip()


def block_content(block: Grid) -> str:
    """Return what a block asks for, short: methods, teachers → students, and lists of several entries."""
    teachers = [
        entry.model + (f" (mixup {number(entry.mixup_alpha)})" if entry.mixup_alpha else "")
        for entry in block.teachers or []
    ]
    arrow = f"{', '.join(teachers)} → " if teachers else ""
    parts = [f"{', '.join(block.methods)}: {arrow}{', '.join(block.students)}"]
    for name in LISTS:
        if len(values := getattr(block, name) or []) > 1:
            parts.append(f"{name} {', '.join(number(value) for value in values)}")
    if block.loss:
        parts.append(f"loss {', '.join(f'{name} {number(value)}' for name, value in block.loss if value)}")
    return "; ".join(parts)


def _seeds(artefacts: Artefacts) -> dict[str, int | None]:
    """Return the seed of each model; None of a given teacher, which serves all."""
    return {id_: columns["seed"] for study in artefacts.studies.values() for id_, (_, columns) in study.models.items()}


def _parts(
    jobs: Jobs, keys: Mapping[Hashable, tuple[str, str]], owners: Mapping[str, Collection[Hashable]]
) -> list[Part]:
    """Return the parts of all keys (each with its name and content) by who asks for each model, and what is shared."""
    trained: dict[Hashable, Counter] = defaultdict(Counter)
    seconds: dict[Hashable, float] = defaultdict(float)
    for ref, change in jobs.changes.items():
        if ref not in jobs.units:
            continue
        models = jobs.models(change)
        numbers = Counter(_only(owners.get(id_, ())) for id_ in models)
        whole = shared = jobs.device_job(ref, len(models)).seconds
        for key, models_of_key in numbers.items():
            trained[key][TRAINED.get(ref[0])] += models_of_key
            if key != SHARED:
                left = len(models) - models_of_key
                saved = whole - (jobs.device_job(ref, left).seconds if left else 0.0)
                seconds[key] += saved
                shared -= saved
        seconds[SHARED] += shared
    machine = jobs.timing.machine
    hours = (machine.threads if machine.kind == "cpu" else 1) / 3600
    return [
        Part(name, what, trained[key]["student"], trained[key]["teacher"], seconds[key] * hours)
        for key, (name, what) in {**keys, SHARED: (SHARED, "")}.items()
    ]


def _only(owners: Collection[Hashable]) -> Hashable:
    """Return the one owner of a model, or ``SHARED``."""
    return next(iter(owners)) if len(owners) == 1 else SHARED
