"""Jobs on a SLURM cluster: what each asks for, and those of earlier runs that are still in the queue.

``./reproduce --slurm`` writes what it found out to ``results/plan/cluster.json`` before anything is submitted. Jobs
parse the workflow again and read it there, so that a job knows the time limit that it was submitted with.
"""

import hashlib
import json
import math
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, write_text
from vicinal.planning.plans import Ref
from vicinal.results import ON_DEVICE, PLAN, STAGES

if TYPE_CHECKING:
    from vicinal.config import Cluster, Execution, Experiment
    from vicinal.planning.artefacts import Artefacts

PROFILE = Path("profiles/slurm")
SITE = PROFILE / "cluster.yaml"
# The time of a job is asked for with a margin: a factor where like runs were recorded, one where rates are assumed, and
# what Python, torch and a slow file system need to begin.
RECORDED_MARGIN, STATED_MARGIN = 1.5, 3.0
START_MINUTES = 5
# A job stops by itself before its time limit; Snakemake has started before its clock does.
BEFORE_LIMIT = 2
SLURM_SECONDS = 60


class Requests:
    """What the jobs of a run ask Slurm for.

    Args:
        cluster: its settings; None: the jobs run on this machine.
        gpus: of a job.
        results: the results folder.
    """

    def __init__(self, cluster: "Cluster | None", gpus: int, results: Path = Path("results")) -> None:
        self.cluster, self.gpus, self.results = cluster, gpus, results
        self._planned = read_planned(results) if cluster else {}

    def resources(self, stage: str) -> dict[str, Any]:
        """Return the resources of the rule of ``stage``, those of the cluster aside from the GPU; none on one machine.

        Snakemake evaluates the functions anew at every attempt, counted from 1.
        """
        if (cluster := self.cluster) is None:
            return {}
        return {
            "mem_mb": lambda wildcards, attempt: min(cluster.max_mem_mb, cluster.mem_mb * 2 ** (attempt - 1)),
            "runtime": lambda wildcards, attempt: self.minutes(stage, wildcards[0], attempt),
            "slurm_partition": cluster.partition,
            "slurm_account": cluster.account,
            "gpu_model": cluster.gpu_type if self.gpus else None,
            "constraint": cluster.constraint,
            "qos": cluster.qos,
            "slurm_extra": lambda wildcards, attempt: self.flags(stage, wildcards[0], attempt),
        }

    def minutes(self, stage: str, id_: str, attempt: int) -> int:
        """Return the time limit of a job: the planned one, doubled at every new attempt, within the cluster's limit."""
        limit = self.cluster.max_minutes
        planned = self._planned.get("minutes", {}).get(f"{stage}/{id_}", limit)
        return min(limit, planned * 2 ** (attempt - 1))

    def flags(self, stage: str, id_: str, attempt: int) -> str:
        """Return further flags of sbatch, quoted for the shell.

        A job waits in the queue for one of an earlier run that makes the same; its first attempt only, in case Slurm
        has forgotten the other one by then.
        """
        flags = list(self.cluster.extra)
        before = self._planned.get("after", {}).get(f"{stage}/{id_}") if attempt == 1 else None
        if before:
            flags.append(f"--dependency=afterany:{':'.join(before)}")
        return shlex.join(flags)


def deadline_options(resources: Mapping[str, Any]) -> list[str]:
    """Return a trainer's arguments for its time limit; none where jobs have none."""
    minutes = resources.get("runtime")
    if not isinstance(minutes, int):
        return []
    return ["--deadline-minutes", f"{max(minutes - BEFORE_LIMIT, minutes / 2):g}"]


def cluster_of(artefacts: "Artefacts") -> "Cluster | None":
    """Return the cluster that the jobs of a run are sent to; None: they run on this machine."""
    return next(iter(artefacts.studies.values())).experiment.cluster


def with_cluster(experiments: "list[Experiment]", wanted: bool, site: Path = SITE) -> "list[Experiment]":
    """Return the experiments with the settings of the cluster: the site's, and over them their own and ``--set``.

    Args:
        experiments: validated ones of one config.
        wanted: whether jobs go to the cluster; if not, the experiments have none.
        site: the file with the site's settings.

    Raises:
        VicinalError: the settings are wrong, or differ between the experiments.
    """
    if not wanted:
        return [experiment.model_copy(update={"cluster": None}) for experiment in experiments]
    from vicinal.config import read_cluster, validate_cluster

    shared = read_cluster(site).model_dump()
    found = []
    for experiment in experiments:
        own = experiment.cluster.model_dump(exclude_unset=True) if experiment.cluster else {}
        cluster = validate_cluster({**shared, **own}, f"{site} and the settings of {experiment.name}")
        found.append(experiment.model_copy(update={"cluster": cluster}))
    if any(experiment.cluster != found[0].cluster for experiment in found):
        raise VicinalError("cluster: differs between the experiments; give all the same, best in profiles/slurm")
    return found


@dataclass(frozen=True)
class QueuedJob:
    """A job in Slurm's queue: its id there, its state, and the comment that says what it makes."""

    id: str
    state: str
    comment: str


def prepare_cluster(artefacts: "Artefacts", execution: "Execution", name: str, cores: int, results: Path) -> list[str]:
    """Find out what the jobs need and which are still in the queue, say so, and return Snakemake's arguments.

    Raises:
        VicinalError: Slurm cannot be asked.
    """
    cluster = cluster_of(artefacts)
    status_command = "sacct" if _has_accounting(cluster) else "squeue"
    prefix = job_prefix(name, results)
    refs = [("teachers", id_) for id_ in artefacts.teachers]
    refs += [("cohorts", id_) for id_ in artefacts.cohorts] + [("evaluations", id_) for id_ in artefacts.evaluations]
    refs += [("robustness", id_) for id_ in artefacts.corrupted]
    after = find_makers(refs, find_jobs(results))
    minutes = estimate_minutes(artefacts, execution, results)
    write_planned(results, minutes, after)
    print(_describe(cluster, minutes), flush=True)
    print(f'jobs of this run: squeue --me -o "%i %T %k %j" | grep {prefix}', flush=True)
    if after:
        ids = " ".join(sorted({id_ for found in after.values() for id_ in found}, key=int))
        print(f"jobs of an earlier run that new ones for the same results wait for: {ids}", flush=True)
        print(f"(they can be ended by: scancel {ids}; then the new ones go on where they were)", flush=True)
    longest = max(minutes.values(), default=1)
    retries = cluster.retries + math.ceil(longest / cluster.max_minutes) - 1
    return [
        "--profile", str(PROFILE), "--jobs", str(cluster.max_jobs), "--local-cores", str(cores),
        "--retries", str(retries), "--slurm-jobname-prefix", prefix, "--slurm-status-command", status_command,
    ]  # fmt: skip


def _describe(cluster: "Cluster", minutes: Mapping[str, int]) -> str:
    asked = [min(cluster.max_minutes, value) for value in minutes.values()]
    times = f"{min(asked)} to {max(asked)} minutes" if asked else "no job"
    place = f"partition {cluster.partition}" if cluster.partition else "the default partition"
    return f"cluster: {place}, {cluster.mem_mb} MB and {times} a job at first, {cluster.max_jobs} jobs at a time"


def estimate_minutes(artefacts: "Artefacts", execution: "Execution", results: Path) -> dict[str, int]:
    """Return STAGE/ID → minutes of the jobs that would run on the cluster, with a margin.

    From the recorded wall times of like jobs, of any hardware of the same kind, else from operations at stated rates.
    """
    from vicinal.planning.changes import find_changes
    from vicinal.planning.plans import build_plans
    from vicinal.running.estimate.jobs import Jobs
    from vicinal.running.estimate.recorded import read_recorded
    from vicinal.running.estimate.work import Machine

    changes = find_changes(build_plans(artefacts), results)
    machine = Machine("cpu" if execution.device == "cpu" else "cuda", None, execution.threads)
    jobs = Jobs(artefacts, changes, results, machine, read_recorded(results))
    minutes = {}
    for (stage, id_), change in changes.items():
        if stage in ON_DEVICE:
            estimate = jobs.estimate(change)
            margin = RECORDED_MARGIN if estimate.runs else STATED_MARGIN
            minutes[f"{stage}/{id_}"] = START_MINUTES + math.ceil(margin * estimate.seconds / 60)
    return minutes


def read_planned(results: Path) -> dict[str, Any]:
    """Return what ``write_planned`` wrote; empty where it has written nothing."""
    path = results / PLAN / "cluster.json"
    return read_json(path) if path.exists() else {}


def write_planned(results: Path, minutes: Mapping[str, int], after: Mapping[str, list[str]]) -> None:
    """Keep what the jobs will ask for; jobs in the queue keep what they were submitted with."""
    former = read_planned(results).get("minutes", {})
    kept = {name: former[name] for name in after if name in former}
    content = {"minutes": {**minutes, **kept}, "after": dict(after)}
    write_text(results / PLAN / "cluster.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def folder_mark(results: Path) -> str:
    """Return what the names of the jobs of one results folder have in common."""
    return hashlib.sha256(str(results.resolve()).encode()).hexdigest()[:8]


def job_prefix(name: str, results: Path) -> str:
    """Return what the job names of a run begin with; Snakemake appends ``_`` and an id of the run."""
    return f"vicinal-{re.sub(r'[^A-Za-z0-9-]', '-', name)[:30]}-{folder_mark(results)}"


def find_jobs(results: Path) -> list[QueuedJob]:
    """Return the jobs of this user that earlier runs in this results folder left in the queue, waiting or running.

    Raises:
        VicinalError: Slurm cannot be asked.
    """
    jobs = []
    for line in ask_slurm("squeue", "--me", "--noheader", "--format=%i|%T|%j|%k").splitlines():
        id_, state, name, comment = line.split("|", 3)
        if f"-{folder_mark(results)}_" in name:
            jobs.append(QueuedJob(id_, state, comment.strip()))
    return jobs


def find_makers(refs: list[Ref], jobs: list[QueuedJob]) -> dict[str, list[str]]:
    """Return STAGE/ID → ids of the jobs in the queue that make it."""
    by_comment: dict[str, list[str]] = {}
    for job in jobs:
        by_comment.setdefault(job.comment, []).append(job.id)
    makers = {f"{stage}/{id_}": by_comment.get(f"rule_{STAGES[stage].rule}_wildcards_{id_}", []) for stage, id_ in refs}
    return {name: ids for name, ids in makers.items() if ids}


def _has_accounting(cluster: "Cluster") -> bool:
    """Tell whether sacct knows what became of a job."""
    config = ask_slurm("scontrol", "show", "config")
    if cluster.accounting is not None:
        return cluster.accounting
    found = re.search(r"^AccountingStorageType\s*=\s*(\S+)", config, re.M)
    return found is not None and found[1] not in ("(null)", "none", "accounting_storage/none")


def ask_slurm(*command: str, run: Callable[..., Any] = subprocess.run) -> str:
    """Run a program of Slurm, and return what it prints.

    Raises:
        VicinalError: it is not installed, fails or does not answer.
    """
    try:
        return run(command, check=True, capture_output=True, text=True, timeout=SLURM_SECONDS).stdout
    except FileNotFoundError:
        problem = "no such program"
    except subprocess.TimeoutExpired:
        problem = f"no answer in {SLURM_SECONDS} s"
    except subprocess.CalledProcessError as error:
        problem = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
    raise VicinalError(f"--slurm: {command[0]}: {problem}; start it where Slurm's programs work, e.g. on a login node")
