"""Jobs on a SLURM cluster: what each asks for, and those of earlier runs that are still in the queue.

``./reproduce --slurm`` writes this to ``results/plan/cluster.json`` before anything is submitted. Jobs parse the
workflow again and read the file, so that a job knows the time limit that it was submitted with.
"""

import hashlib
import math
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, write_json
from vicinal.results import ON_DEVICE, PLAN, STAGE_OF

if TYPE_CHECKING:
    from vicinal.config import Cluster, Execution, Experiment
    from vicinal.planning.artefacts import Artefacts

PROFILE = Path("profiles/slurm")
SITE = PROFILE / "cluster.yaml"
# A job asks for its estimated time with a margin: a factor where like runs were recorded, one where rates are assumed,
# and minutes for Python, torch and a slow file system to begin.
RECORDED_MARGIN, STATED_MARGIN = 1.5, 3.0
START_MINUTES = 5
# So many minutes before its time limit a job stops by itself, as its clock starts later than Slurm's.
BEFORE_LIMIT = 2
SLURM_SECONDS = 60
# From one look at the jobs to the next without accounting, at most, s.
STATUS_SECONDS = 20


class Requests:
    """What the jobs of a run, on a GPU or not, ask Slurm for; without a cluster they run on this machine."""

    def __init__(self, cluster: "Cluster | None", on_gpu: bool, results: Path = Path("results")) -> None:
        self.cluster, self.on_gpu, self.results = cluster, on_gpu, results
        # The resource ``gpu`` of a job, which becomes ``--gpus``; 0 where the cluster wants ``--gres``.
        self.gpus = int(on_gpu and not (cluster and cluster.gres))
        self._planned = read_planned(results) if cluster else {}

    def resources(self, stage: str) -> dict[str, Any]:
        """Return what the rule of ``stage`` asks the cluster for, besides ``gpus``; nothing on one machine.

        Snakemake calls the functions again for every attempt, counted from 1.
        """
        if (cluster := self.cluster) is None:
            return {}
        asked: dict[str, Any] = {
            "runtime": lambda wildcards, attempt: self.minutes(stage, wildcards[0], attempt),
            "slurm_partition": cluster.partition,
            "slurm_account": cluster.account,
            "constraint": cluster.constraint,
            "qos": cluster.qos,
            "slurm_extra": lambda wildcards, attempt: self.flags(stage, wildcards[0], attempt),
        }
        if self.gpus and cluster.gpu_type:
            asked["gpu_model"] = cluster.gpu_type
        elif self.on_gpu and cluster.gres:
            asked["gres"] = cluster.gres
        if cluster.mem_mb and cluster.mem_per_cpu:
            asked["mem_mb_per_cpu"] = lambda wildcards, attempt, threads: math.ceil(self.memory(attempt) / threads)
        elif cluster.mem_mb:
            asked["mem_mb"] = lambda wildcards, attempt: self.memory(attempt)
        return asked

    def memory(self, attempt: int) -> int:
        """Return the memory of a job in MB, doubled at every new attempt, at most the cluster's limit."""
        assert self.cluster and self.cluster.mem_mb, "only jobs for a cluster ask for memory, and not everywhere"
        return min(self.cluster.max_mem_mb, self.cluster.mem_mb * 2 ** (attempt - 1))

    def minutes(self, stage: str, id_: str, attempt: int) -> int:
        """Return the time limit of a job: as planned, doubled at every new attempt, at most the cluster's limit."""
        assert self.cluster, "only jobs for a cluster have limits"
        limit = self.cluster.max_minutes
        planned = self._planned.get("minutes", {}).get(f"{stage}/{id_}", limit)
        return min(limit, planned * 2 ** (attempt - 1))

    def flags(self, stage: str, id_: str, attempt: int) -> str:
        """Return further flags of sbatch, quoted for the shell.

        The first attempt at a job waits for those of an earlier run that make the same. By the second one, Slurm may
        have forgotten them.
        """
        assert self.cluster, "only jobs for a cluster have flags"
        flags = list(self.cluster.extra)
        before = self._planned.get("after", {}).get(f"{stage}/{id_}")
        if before and attempt == 1:
            flags.append(f"--dependency=afterany:{':'.join(before)}")
        return shlex.join(flags)


def deadline_options(resources: Mapping[str, Any]) -> list[str]:
    """Return a trainer's arguments for its time limit; none where it has none."""
    minutes = resources.get("runtime")
    if not isinstance(minutes, int):
        return []
    return ["--deadline-minutes", f"{max(minutes - BEFORE_LIMIT, minutes / 2):g}"]


def cluster_of(artefacts: "Artefacts") -> "Cluster | None":
    """Return the cluster that the jobs of a run are sent to; None: they run on this machine."""
    return next(iter(artefacts.studies.values())).experiment.cluster


def with_cluster(experiments: "list[Experiment]", wanted: bool, site: Path = SITE) -> "list[Experiment]":
    """Return the experiments with the settings of the cluster: the site's, overridden by their own and by ``--set``.

    Without any, if jobs do not go to the cluster. Raises VicinalError: settings are wrong, or differ between
    experiments.
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


def prepare_cluster(artefacts: "Artefacts", execution: "Execution", name: str, cores: int, results: Path) -> list[str]:
    """Find out what the jobs need and which are still queued, print it, and return Snakemake's arguments.

    Raises VicinalError: Slurm does not answer.
    """
    if shlex.quote(sys.executable) != sys.executable:
        raise VicinalError(
            f"--slurm: {sys.executable}: Snakemake does not quote the path of Python for its jobs; move the project to "
            "a path without spaces and special characters"
        )
    cluster = cluster_of(artefacts)
    assert cluster, "with_cluster gave it to each experiment"
    status_options = find_status_options(cluster)
    prefix = job_prefix(name, results)
    minutes = estimate_minutes(artefacts, execution, results)
    after = {made: ids for made, ids in find_queued(results).items() if made in minutes}
    write_planned(results, minutes, after)
    print(_describe(cluster, minutes), flush=True)
    print(f'jobs of this run: squeue --me -o "%i %T %k %j" | grep {prefix}', flush=True)
    if after:
        ids = " ".join(sorted({id_ for found in after.values() for id_ in found}, key=int))
        print(f"jobs of an earlier run that new ones for the same results wait for: {ids}", flush=True)
        print(f"(to end them: scancel {ids}; then the new ones go on where they were)", flush=True)
    longest = max(minutes.values(), default=1)
    retries = cluster.retries + math.ceil(longest / cluster.max_minutes) - 1
    return [
        "--profile", str(PROFILE), "--jobs", str(cluster.max_jobs), "--local-cores", str(cores),
        "--retries", str(retries), "--slurm-jobname-prefix", prefix, *status_options,
    ]  # fmt: skip


def _describe(cluster: "Cluster", minutes: Mapping[str, int]) -> str:
    place = f"cluster: {f'partition {cluster.partition}' if cluster.partition else 'the default partition'}"
    if not minutes:
        return f"{place}; no job to submit"
    asked = sorted({min(cluster.max_minutes, value) for value in minutes.values()})
    times = " to ".join(map(str, dict.fromkeys((asked[0], asked[-1]))))
    memory = f"{cluster.mem_mb} MB" if cluster.mem_mb else "no memory asked for"
    return f"{place}; each job at first: {times} minutes, {memory}; {cluster.max_jobs} jobs at a time"


def estimate_minutes(artefacts: "Artefacts", execution: "Execution", results: Path) -> dict[str, int]:
    """Return STAGE/ID → minutes of the jobs that would run on the cluster, with a margin.

    They come from the recorded times of like jobs on any hardware of the same kind, else from stated rates.
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
    """Return what ``write_planned`` wrote, if anything."""
    path = results / PLAN / "cluster.json"
    return read_json(path) if path.exists() else {}


def write_planned(results: Path, minutes: Mapping[str, int], after: Mapping[str, list[str]]) -> None:
    """Write down what the jobs will ask for; jobs in the queue keep the time they were submitted with."""
    former = read_planned(results).get("minutes", {})
    kept = {name: former[name] for name in after if name in former}
    write_json(results / PLAN / "cluster.json", {"minutes": {**minutes, **kept}, "after": dict(after)})


def folder_mark(results: Path) -> str:
    """Return what the names of the jobs of one results folder have in common."""
    return hashlib.sha256(str(results.resolve()).encode()).hexdigest()[:8]


def job_prefix(name: str, results: Path) -> str:
    """Return what the job names of a run begin with; Snakemake appends ``_`` and an id of the run."""
    return f"vicinal-{re.sub(r'[^A-Za-z0-9-]', '-', name)[:30]}-{folder_mark(results)}"


def find_queued(results: Path) -> dict[str, list[str]]:
    """Return STAGE/ID → ids of this folder's jobs that earlier runs left in the queue. VicinalError: no answer."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in ask_slurm("squeue", "--me", "--noheader", "--format=%i|%j|%k").splitlines():
        id_, name, comment = line.split("|", 2)
        made = re.fullmatch(r"rule_(\w+)_wildcards_(.+)", comment.strip())
        if made and made[1] in STAGE_OF and f"-{folder_mark(results)}_" in name:
            found[f"{STAGE_OF[made[1]]}/{made[2]}"].append(id_)
    return dict(found)


def find_status_options(cluster: "Cluster") -> list[str]:
    """Return Snakemake's arguments for how the end of a job is found out: by sacct, else by squeue.

    Raises VicinalError: Slurm does not answer, or has no accounting although the cluster's settings say so.
    """
    config = ask_slurm("scontrol", "show", "config")  # even if it is not needed: Slurm must answer
    if cluster.accounting is not False:
        try:
            ask_slurm("sacct", "--noheader", "--name=vicinal")
            return ["--slurm-status-command", "sacct"]
        except VicinalError as error:
            if cluster.accounting:
                raise VicinalError(f"{error}; or set cluster.accounting to null or false") from None
    # Slurm forgets a job so many seconds after its end; 0: never.
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", config, re.M)
    age = int(found[1]) if found else 0
    seconds = max(1, min(STATUS_SECONDS, age // 3)) if age else STATUS_SECONDS
    print(f"this cluster keeps no accounts of jobs: squeue is asked every {seconds} s", flush=True)
    return ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", str(seconds)]


def ask_slurm(*command: str, run: Callable[..., Any] = subprocess.run) -> str:
    """Return what a program of Slurm prints. Raises VicinalError: it is missing, fails or does not answer."""
    try:
        return run(command, check=True, capture_output=True, text=True, timeout=SLURM_SECONDS).stdout
    except FileNotFoundError:
        problem = "no such program"
    except subprocess.TimeoutExpired:
        problem = f"no answer in {SLURM_SECONDS} s"
    except subprocess.CalledProcessError as error:
        problem = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
    raise VicinalError(f"--slurm: {command[0]}: {problem}; start it where Slurm's programs work, e.g. on a login node")
