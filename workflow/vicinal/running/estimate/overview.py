"""What a run would do, as data: jobs with reasons and times, totals, disk."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vicinal.config import Execution
from vicinal.data.corruptions.catalogue import ARCHIVES, outlook
from vicinal.files import read_object
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import Change, find_changes
from vicinal.planning.plans import Ref, build_plans
from vicinal.results import STAGES
from vicinal.running.estimate.blocks import Part, block_parts, seed_parts
from vicinal.running.estimate.disk import Disk, estimate_disk
from vicinal.running.estimate.jobs import DEVICE_STAGES, Jobs, Times, kept_costs, total
from vicinal.running.estimate.recorded import History, read_history
from vicinal.running.estimate.timing import Estimate, Timing, present_machine


@dataclass
class Stage:
    """The jobs of one stage: how many are wanted, which would run, how many models these train, how many are kept.

    ``train`` and ``keep`` are None of a stage that trains nothing.
    """

    name: str
    wanted: int
    run: list[Change]
    train: int | None = None
    keep: int | None = None


@dataclass
class Overview:
    """What a run would do.

    Attributes:
        name: of the experiment or collection.
        stages: those that the experiment has, in the order of the flow.
        jobs: what the jobs would do, as far as their times need it.
        estimates: of each job that would run.
        cores: that the run may use.
        times: of all jobs together.
        disk: that they take.
        blocks: what each block of the grid alone asks for of it, and what they share.
        seeds: the same of each seed.
        notes: what else is to be known beforehand, a line each.
    """

    name: str
    stages: list[Stage]
    jobs: Jobs
    estimates: dict[Ref, Estimate]
    cores: int
    times: Times
    disk: Disk
    blocks: list[Part]
    seeds: list[Part]
    notes: list[str]

    @property
    def changes(self) -> Mapping[Ref, Change]:
        """Return the jobs that would run, upstream ones first."""
        return self.jobs.changes

    @property
    def cluster_jobs(self) -> dict[str, int]:
        """Return rule → jobs, of the rules whose jobs go to a cluster; the others run where ./reproduce runs."""
        counts = Counter(stage for stage, _ in self.changes)
        return {STAGES[stage].rule: counts[stage] for stage in DEVICE_STAGES if counts[stage]}

    @property
    def sources(self) -> dict[str, list[Estimate]]:
        """Return where the estimates come from: words → those of the jobs on the device, the most frequent first."""
        found: dict[str, list[Estimate]] = {}
        for (stage, _), estimate in self.estimates.items():
            if stage in DEVICE_STAGES:
                found.setdefault(estimate.source, []).append(estimate)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def stage(self, name: str) -> Stage:
        """Return a stage; one without jobs where the experiment does not have it."""
        return next((stage for stage in self.stages if stage.name == name), Stage(name, 0, [], 0, 0))

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data; ``vicinal.commands.plan`` documents the fields."""
        students, teachers = self.stage("cohorts"), self.stage("teachers")
        machine = self.jobs.timing.machine
        return {
            "experiment": self.name,
            "jobs": [
                {
                    "rule": change.rule,
                    "stage": ref[0],
                    "id": ref[1],
                    "reasons": change.reasons,
                    "train": change.train,
                    "seconds": round(self.estimates[ref].seconds, 1),
                    "source": self.estimates[ref].source,
                    "runs": self.estimates[ref].runs,
                }
                for ref, change in self.changes.items()
            ],
            "stages": [
                {"stage": s.name, "wanted": s.wanted, "run": len(s.run), "train": s.train, "keep": s.keep}
                for s in self.stages
            ],
            "totals": {
                "jobs": len(self.changes),
                "students": students.train,
                "students_kept": students.keep,
                "teachers": teachers.train,
                "teachers_kept": teachers.keep,
                "cluster_jobs": self.cluster_jobs,
            },
            "time": {
                "device": machine.kind,
                "hardware": machine.hardware,
                "device_hours": round(self.times.device_seconds / 3600, 4),
                "other_core_hours": round(self.times.core_seconds / 3600, 4),
                "wall_seconds": round(self.times.wall_seconds, 1),
                "slots": self.times.slots,
                "sources": {words: len(found) for words, found in self.sources.items()},
            },
            "disk": {**asdict(self.disk), "needed": self.disk.needed, "fits": self.disk.fits},
            "blocks": [asdict(part) for part in self.blocks],
            "seeds": [asdict(part) for part in self.seeds],
            "notes": self.notes,
        }


def make_overview(name: str, artefacts: Artefacts, execution: Execution, cores: int, results: Path) -> Overview:
    """Return what a run would do; changes nothing.

    Args:
        name: of the experiment or collection.
        artefacts: that it asks for.
        execution: how it runs.
        cores: CPU cores that it may use.
        results: the results folder.

    Raises:
        VicinalError: the data cannot be read, or a network cannot be counted (``Costs.of``).
    """
    plans = list(build_plans(artefacts))
    changes = find_changes(plans, results)
    machine = present_machine(execution.device, execution.threads, cores)
    history = read_history(results) if changes else History()
    timing = Timing(machine, history, kept_costs(results))
    jobs = Jobs(artefacts, changes, results, timing)
    estimates = {ref: jobs.estimate(change) for ref, change in changes.items()}
    times = total(((stage, estimate.seconds) for (stage, _), estimate in estimates.items()), timing, cores)
    wanted = Counter(plan.stage for plan in plans)
    stages = [
        Stage(stage, wanted[stage], [change for ref, change in changes.items() if ref[0] == stage])
        for stage in STAGES
        if wanted[stage]
    ]
    trained = [teacher for teacher in artefacts.teachers.values() if not teacher.is_given]
    models = {"teachers": len(trained), "cohorts": len(artefacts.students)}
    for stage in stages:
        if stage.name in models:
            stage.train = sum(len(change.train) for change in stage.run)
            stage.keep = models[stage.name] - stage.train
    return Overview(
        name, stages, jobs, estimates, cores, times, estimate_disk(jobs, changes), block_parts(jobs), seed_parts(jobs),
        corruption_notes(artefacts, results),
    )  # fmt: skip


def corruption_notes(artefacts: Artefacts, results: Path) -> list[str]:
    """Return what a run can expect of the corrupted images that are asked for, a line each data store."""
    stores = {study.store.id: study.store for study in artefacts.studies.values() if study.wants_corruptions}
    found = []
    for store in stores.values():
        name, record = store.spec["name"], read_object(results / STAGES["corruptions"].output_of(store.id))
        archive = Path(store.root) / ARCHIVES[name].file if name in ARCHIVES else None
        if text := outlook(name, record, archive):
            found.append(f"corrupted images of {name}: {text}")
    return found
