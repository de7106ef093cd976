"""What each block of the grid, and each seed, alone adds to a run: what leaving it out would save.

A model that several blocks ask for is made once, and leaving out one of them saves nothing of it: it counts as shared.
So does what a job does once for students of several blocks: its start-up, and the teacher's answers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from vicinal.config import Grid
from vicinal.results import TRAINED
from vicinal.running.estimate.jobs import Jobs
from vicinal.words import number

SHARED = "shared"


# What one block or seed alone asks for: ``name``, ``what`` (the content of a block, short), numbers of ``students`` and
# ``teachers`` that would be trained, and ``hours`` of training and measuring, of the GPU or of CPU cores.
Part = dict[str, Any]


def block_parts(jobs: Jobs) -> list[Part]:
    """Return a part for each block, in the order of the config, and one for what they share."""
    owners: dict[str, set[Hashable]] = defaultdict(set)
    keys: dict[Hashable, tuple[str, str]] = {}
    for name, study in jobs.artefacts.studies.items():
        for id_, blocks in study.blocks.items():
            owners[id_] |= {(name, block) for block in blocks}
        prefix = f"{name} " if len(jobs.artefacts.studies) > 1 else ""
        for own, block in study.experiment.grids.items():
            keys[name, own] = f"{prefix}{own}", block_content(block)
    return _parts(jobs, keys, owners)


def seed_parts(jobs: Jobs) -> list[Part]:
    """Return a part for each seed, and one for what they share."""
    # A given teacher has no seed: it serves all.
    owners = {
        id_: {columns["seed"]} - {None}
        for study in jobs.artefacts.studies.values()
        for id_, (_, columns) in study.models.items()
    }
    seeds = sorted(set().union(*owners.values()))
    return _parts(jobs, {seed: (f"seed {seed}", "") for seed in seeds}, owners)


def block_content(block: Grid) -> str:
    """Return what a block asks for, short: methods, teachers → students, and lists with several entries."""
    teachers = [
        entry.model + (f" (mixup {number(entry.mixup_alpha)})" if entry.mixup_alpha else "")
        for entry in block.teachers or []
    ]
    arrow = f"{', '.join(teachers)} → " if teachers else ""
    parts = [f"{', '.join(block.methods)}: {arrow}{', '.join(block.students)}"]
    for name in ("alphas", "temperatures", "logit_scales", "seeds"):
        if len(values := getattr(block, name) or []) > 1:
            parts.append(f"{name} {', '.join(v if isinstance(v, str) else number(v) for v in values)}")
    if block.loss:
        parts.append(f"loss {', '.join(f'{name} {number(value)}' for name, value in block.loss if value)}")
    return "; ".join(parts)


def _parts(
    jobs: Jobs, keys: Mapping[Hashable, tuple[str, str]], owners: Mapping[str, Collection[Hashable]]
) -> list[Part]:
    """Return the parts of all keys (each with its name and content) by who asks for each model, and what is shared."""
    trained: Counter[tuple[Hashable, str]] = Counter()
    seconds: dict[Hashable, float] = defaultdict(float)
    for ref, change in jobs.changes.items():
        if ref not in jobs.units:
            continue
        models = jobs.models(change)
        whole = shared = jobs.device_job(ref, models).seconds
        by_owner: dict[Hashable, set[str]] = defaultdict(set)
        for id_ in models:
            by_owner[_only(owners.get(id_, ()))].add(id_)
        for key, own in by_owner.items():
            if ref[0] in TRAINED:
                trained[key, ref[0]] += len(own)
            if key != SHARED:
                left = set(models) - own
                saved = whole - (jobs.device_job(ref, left).seconds if left else 0.0)
                seconds[key] += saved
                shared -= saved
        seconds[SHARED] += shared
    machine = jobs.timing.machine
    hours = (machine.threads if machine.kind == "cpu" else 1) / 3600
    return [
        {
            "name": name,
            "what": what,
            "students": trained[key, "cohorts"],
            "teachers": trained[key, "teachers"],
            "hours": seconds[key] * hours,
        }
        for key, (name, what) in {**keys, SHARED: (SHARED, "")}.items()
    ]


def _only(owners: Collection[Hashable]) -> Hashable:
    """Return the one owner of a model, or ``SHARED``."""
    return next(iter(owners)) if len(owners) == 1 else SHARED
