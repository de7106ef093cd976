"""What a run would do, as data: jobs with reasons and times, totals, disk."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vicinal.config import Execution
from vicinal.data.corruptions.catalogue import ARCHIVES, outlook
from vicinal.files import read_object
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import Change, find_changes
from vicinal.planning.plans import Ref, build_plans
from vicinal.results import ON_DEVICE, STAGES
from vicinal.running.estimate.blocks import Part, block_parts, seed_parts
from vicinal.running.estimate.disk import Disk, estimate_disk
from vicinal.running.estimate.jobs import EnergyUse, Jobs, Times, energy_use, total
from vicinal.running.estimate.recorded import read_recorded
from vicinal.running.estimate.timing import Estimate, present_machine


@dataclass
class StageJobs:
    """The jobs of one stage.

    Attributes:
        stage: a key of ``STAGES``.
        wanted: number of all its jobs.
        run: those that would run.
        train, keep: numbers of models that would be trained and kept; None for a stage that trains nothing.
    """

    stage: str
    wanted: int
    run: list[Change]
    train: int | None = None
    keep: int | None = None


@dataclass
class Overview:
    """What a run would do.

    Attributes:
        name: of the experiment or collection.
        cores: that the run may use.
        jobs: those that would run.
        estimates: the time of each of them.
        stages: those that the experiment has, in the order of the flow.
        times: of all jobs together.
        disk: that they take.
        blocks: what each block of the grid alone asks for of it, and what they share.
        seeds: the same for each seed.
        notes: what else to know beforehand, a line each.
        energy: of the jobs on the device, where the config has the power of one.
        left_out: names of experiments that none of this is about, as they cannot run.
    """

    name: str
    cores: int
    jobs: Jobs
    estimates: dict[Ref, Estimate]
    stages: list[StageJobs]
    times: Times
    disk: Disk
    blocks: list[Part]
    seeds: list[Part]
    notes: list[str]
    energy: EnergyUse | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def changes(self) -> Mapping[Ref, Change]:
        """Return the jobs that would run, upstream ones first."""
        return self.jobs.changes

    @property
    def cluster_jobs(self) -> dict[str, int]:
        """Return rule → number of jobs, for the rules whose jobs go to a cluster."""
        counts = Counter(stage for stage, _ in self.changes)
        return {STAGES[stage].rule: counts[stage] for stage in ON_DEVICE if counts[stage]}

    @property
    def sources(self) -> dict[str, list[Estimate]]:
        """Return the estimates of the jobs on the device by where they come from, the most frequent first."""
        found: dict[str, list[Estimate]] = {}
        for (stage, _), estimate in self.estimates.items():
            if stage in ON_DEVICE:
                found.setdefault(estimate.source, []).append(estimate)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def stage(self, name: str) -> StageJobs:
        """Return a stage; one without jobs where the experiment does not have it."""
        return next((stage for stage in self.stages if stage.stage == name), StageJobs(name, 0, [], 0, 0))

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data; ``vicinal.commands.plan`` documents the fields."""
        students, teachers = self.stage("cohorts"), self.stage("teachers")
        jobs = [
            {"rule": change.rule, "stage": ref[0], "id": ref[1], "reasons": change.reasons, "train": change.train}
            | self.estimates[ref]._asdict()
            for ref, change in self.changes.items()
        ]
        totals = {
            "jobs": len(self.changes),
            "students": students.train,
            "students_kept": students.keep,
            "teachers": teachers.train,
            "teachers_kept": teachers.keep,
            "cluster_jobs": self.cluster_jobs,
        }
        return {
            "experiment": self.name,
            "jobs": jobs,
            "stages": [vars(stage) | {"run": len(stage.run)} for stage in self.stages],
            "totals": totals,
            "time": asdict(self.times) | {"sources": {words: len(found) for words, found in self.sources.items()}},
            "disk": asdict(self.disk) | {"needed": self.disk.needed, "fits": self.disk.fits},
            "blocks": [asdict(part) for part in self.blocks],
            "seeds": [asdict(part) for part in self.seeds],
            "notes": self.notes,
            "energy": self.energy and self.energy._asdict(),
            "left_out": self.left_out,
        }


def make_overview(
    name: str, artefacts: Artefacts, execution: Execution, cores: int, results: Path, left_out: Iterable[str] = ()
) -> Overview:
    """Return what a run would do; changes nothing.

    Args:
        name: of the experiment or collection.
        artefacts: that it asks for.
        execution: how it runs.
        cores: CPU cores that it may use.
        results: the results folder.
        left_out: names of experiments that are not among the artefacts.

    Raises:
        VicinalError: the data cannot be read, or a network cannot be counted (``Costs.of``).
    """
    plans = list(build_plans(artefacts))
    changes = find_changes(plans, results)
    machine = present_machine(execution.device, execution.threads, cores)
    jobs = Jobs(artefacts, changes, results, machine, read_recorded(results) if changes else None)
    estimates = {ref: jobs.estimate(change) for ref, change in changes.items()}
    times = total(((stage, estimate.seconds) for (stage, _), estimate in estimates.items()), machine, cores)
    wanted = Counter(plan.stage for plan in plans)
    models = {
        "teachers": sum(not teacher.is_given for teacher in artefacts.teachers.values()),
        "cohorts": len(artefacts.students),
    }
    stages = []
    for stage in (stage for stage in STAGES if wanted[stage]):
        found = StageJobs(stage, wanted[stage], [change for ref, change in changes.items() if ref[0] == stage])
        if stage in models:
            found.train = sum(len(change.train) for change in found.run)
            found.keep = models[stage] - found.train
        stages.append(found)
    parts, notes = (block_parts(jobs), seed_parts(jobs)), corruption_notes(artefacts, results)
    disk, energy = estimate_disk(jobs), energy_use(times, execution.energy)
    return Overview(name, cores, jobs, estimates, stages, times, disk, *parts, notes, energy, list(left_out))


def corruption_notes(artefacts: Artefacts, results: Path) -> list[str]:
    """Return what a run can expect of the corrupted images that are asked for, a line for each data store."""
    stores = {study.store.id: study.store for study in artefacts.studies.values() if study.wants_corruptions}
    found = []
    for store in stores.values():
        name, record = store.spec["name"], read_object(results / STAGES["corruptions"].output_of(store.id))
        archive = Path(store.root) / ARCHIVES[name].file if name in ARCHIVES else None
        if text := outlook(name, record, archive):
            found.append(f"corrupted images of {name}: {text}")
    return found
