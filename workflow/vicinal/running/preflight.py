"""Before the first job: is everything that a run needs there, or can it be downloaded? All problems are found at once.

Only what the jobs that would run need is checked.
"""

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from vicinal.config import Execution
from vicinal.data.catalogue import DATA_SETS, source_files
from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.errors import VicinalError, describe
from vicinal.jobs.download import unreachable
from vicinal.jobs.gpus import VISIBLE, list_gpus, visible_devices
from vicinal.models.pretrained import WEIGHTS, weights_path
from vicinal.planning.artefacts import Artefacts, Cohort, DataSet, Teacher
from vicinal.planning.changes import Change
from vicinal.planning.plans import Ref
from vicinal.planning.problems import ERROR, NOTE, WARNING, Kind, Problem
from vicinal.running.estimate.disk import estimate_disk, nearest_existing
from vicinal.running.estimate.jobs import Jobs
from vicinal.running.estimate.memory import smallest_gpu, training_bytes
from vicinal.running.estimate.work import Machine
from vicinal.running.given_teachers import given_teachers, missing_files, unfit_teachers
from vicinal.words import count, size

INTERNET = "run where there is internet"


@dataclass(frozen=True)
class Download:
    """A file that a run would download."""

    path: Path  # where it will lie
    url: str  # https only
    size: int  # bytes
    remedy: str  # what to do if it cannot be downloaded
    experiments: tuple[str, ...] = ()  # names of those that need it; if empty, a run goes on without it


def find_problems(
    artefacts: Artefacts,
    execution: Execution,
    results: Path,
    changes: Mapping[Ref, Change],
    slurm: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Problem]:
    """Return all that stands in the way of the jobs that would run; ``say`` gets a line before what takes a while."""
    if not changes:
        return []
    downloads, problems = find_downloads(artefacts, changes)
    problems += undownloadable(downloads, say)
    problems += unwritable(results, downloads)
    problems += missing_files(artefacts, changes)
    jobs = Jobs(artefacts, changes, results, Machine("cpu", None, 1))
    if unreadable := _unreadable(jobs):
        return problems + unreadable
    problems += unfit_teachers(artefacts, changes, jobs.shape)
    try:
        parts = {name: bytes_ for name, bytes_ in estimate_disk(jobs).items() if name != "downloads"}
        return problems + full_disks(results, parts, downloads) + gpu_problems(jobs, execution, slurm)
    except VicinalError as error:
        return [*problems, Problem(f"disk and GPU memory are not checked: {describe(error)}", kind=WARNING)]


def find_downloads(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> tuple[list[Download], list[Problem]]:
    """Return the files that a run would download, each once, and what is wrong with the files that are there."""
    downloads: dict[Path, Download] = {}
    problems: list[Problem] = []
    for item in (*_files_of_data(artefacts, changes), *_files_of_weights(artefacts, changes)):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            before = downloads.get(item.path, item).experiments
            downloads[item.path] = replace(item, experiments=tuple(dict.fromkeys(before + item.experiments)))
    return list(downloads.values()), problems


def _files_of_data(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> Iterator[Download | Problem]:
    for store in artefacts.stores.values():
        needed_by, fetched = _of_store(artefacts, store), ("downloads", store.id) in changes
        name, is_read = store.spec["name"], fetched or ("data", store.id) in changes
        files = source_files(name, store.root, "torchvision") if store.downloaded and is_read else {}
        for file, path in files.items():
            archive = DATA_SETS[name].archives[file]
            if path.is_file():
                continue
            if fetched:
                remedy = f"copy the file with SHA-256 {archive.sha256} there, {INTERNET}, or set data.root to a folder "
                remedy += "with the data set as Parquet files"
                yield Download(path, archive.url, archive.size, remedy, needed_by)
            else:
                yield _gone(path, f"data/{store.id}.fetched.json", needed_by)
        if ("corruptions", store.id) in changes and artefacts.corruptions[store.id] is None:
            corrupted = ARCHIVES[name]
            yield Download(Path(store.root) / corrupted.file, corrupted.url, corrupted.size, INTERNET)


def _files_of_weights(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> Iterator[Download | Problem]:
    starting = {unit.weights for unit, _ in _trained(artefacts, changes)}
    starting |= {teacher.weights for teacher in given_teachers(artefacts, changes)}
    for name, root in artefacts.weights.items():
        path, weights, fetched = weights_path(root, name), WEIGHTS[name], ("weights", name) in changes
        needed_by = artefacts.names(lambda study, name=name: name in {unit.weights for unit in study.units.values()})  # type: ignore[misc]
        found = path.stat().st_size if path.is_file() else None
        if found is None and fetched:
            remedy = f"copy the file there (its SHA-256 begins with {weights.sha256}), or {INTERNET}"
            yield Download(path, weights.url, weights.size, remedy, needed_by)
        elif found is None and name in starting:
            yield _gone(path, f"weights/{name}.json", needed_by)
        elif found is not None and fetched and abs(found - weights.size) > weights.tolerance:
            text = f"{path}: damaged or another file ({found:,} bytes, not about {weights.size:,})"
            yield Problem(f"{text}: delete it, and it is downloaded from {weights.url}", needed_by)


def _gone(path: Path, record: str, needed_by: tuple[str, ...]) -> Problem:
    return Problem(f"{path}: not there any more: put it back, or delete results/{record} to fetch it again", needed_by)


def undownloadable(downloads: Iterable[Download], say: Callable[[str], None] = lambda text: None) -> list[Problem]:
    """Return the files that a run needs and cannot download."""
    needed = [download for download in downloads if download.experiments]
    if not needed:
        return []
    say(f"asking {', '.join(sorted({urlsplit(d.url).netloc for d in needed}))} for files to download")
    reasons = unreachable({download.url: None for download in needed})
    return [
        Problem(f"{d.path}: not there, and {d.url} cannot be downloaded ({reasons[d.url]}): {d.remedy}", d.experiments)
        for d in needed
        if d.url in reasons
    ]


def unwritable(results: Path, downloads: Iterable[Download] = ()) -> list[Problem]:
    """Return which folders cannot be written: the results folder, and those of the downloads."""
    needed_by: dict[Path, tuple[str, ...]] = {results: ()}
    for download in downloads:
        folder = download.path.parent
        needed_by[folder] = tuple(dict.fromkeys(needed_by.get(folder, ()) + download.experiments))
    problems = []
    for folder, experiments in needed_by.items():
        nearest = nearest_existing(folder)
        if folder.is_symlink() and not folder.exists():
            why = f"a link to {folder.readlink()}, which is not there"
        elif not nearest.is_dir():
            why = f"{nearest} is no folder"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
            why = os.strerror(errno.EROFS) if read_only else f"{nearest} may not be written"
        else:
            continue
        field = "" if folder == results else "data.root: "
        kind: Kind = ERROR if experiments or folder == results else WARNING
        text = f"{field}{folder}: cannot be written ({why}); make it a folder you may write to"
        problems.append(Problem(text, experiments, kind))
    return problems


def full_disks(results: Path, parts: Mapping[str, int], downloads: Iterable[Download]) -> list[Problem]:
    """Return which disks have no room for parts (what → bytes) in the results folder, and for downloads."""
    needed: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    optional: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    wanted = [(results, name, bytes_, True) for name, bytes_ in parts.items()]
    wanted += [(d.path.parent, "downloads", d.size, bool(d.experiments)) for d in downloads]
    for folder, name, bytes_, is_needed in wanted:
        disk = nearest_existing(folder).stat().st_dev
        folders.setdefault(disk, folder)
        if is_needed:
            needed[disk][name] += bytes_
        else:
            optional[disk] += bytes_
    problems = []
    for disk, folder in folders.items():
        free, total = shutil.disk_usage(nearest_existing(folder)).free, sum(needed[disk].values())
        listed = ", ".join(f"{name} {size(bytes_)}" for name, bytes_ in needed[disk].items() if bytes_)
        if total > free:
            text = f"{folder}: the disk has {size(free)} free, about {size(total)} are needed ({listed}): free some"
            problems.append(Problem(text))
        elif total + optional[disk] > free:
            text = f"{folder}: the disk has {size(free)} free, too little for corrupted images ({size(optional[disk])})"
            problems.append(Problem(f"{text}; without them about {size(total)} are needed", kind=WARNING))
    return problems


def gpu_problems(jobs: Jobs, execution: Execution, slurm: bool) -> list[Problem]:
    """Return for which trainings the GPUs of this machine have too little memory, and whether a GPU is missing.

    A cohort that is too large is trained in parts; a single network that does not fit cannot be trained.
    """
    units = _trained(jobs.artefacts, jobs.changes)
    if execution.device == "cpu" or not units:
        return []
    if slurm:
        return [Problem("GPU memory is not checked: the cluster's GPUs are not known here", kind=NOTE)]
    devices, number = visible_devices(), int(execution.device.partition(":")[2] or 0)
    if execution.device != "auto" and list_gpus() is not None and number >= len(devices):
        preset = f" ({VISIBLE}={os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
        have = f"{count(len(devices), 'GPU')} may be used here{preset}; set auto or cpu"
        return [Problem(f"execution.device: {execution.device}: there is no such GPU: {have}")]
    memory = smallest_gpu(execution.device) if devices else None
    if memory is None:
        return []
    problems, cohorts = [], []
    for unit, models in units:
        models, shape = min(models, execution.cohort_size or models), jobs.shape(unit.store)
        alone, together = (training_bytes(unit.spec, n, shape, jobs.costs, execution.precision) for n in (1, models))
        if alone > memory:
            text = f"{unit.id}: one network takes about {size(alone)} of GPU memory in training, the smallest GPU has "
            text += f"{size(memory)}: set a smaller recipe.batch_size or another model, or execution.device=cpu"
            names = jobs.artefacts.names(lambda study, id_=unit.id: id_ in study.units)  # type: ignore[misc]
            problems.append(Problem(text, names))
        elif together * execution.gpu_slots > memory:
            cohorts.append((together, models, unit.id))
    if cohorts:
        taken, models, id_ = max(cohorts)
        slots = f", and {execution.gpu_slots} jobs share it (execution.gpu_slots)" if execution.gpu_slots > 1 else ""
        text = f"{id_}: {models} at once take about {size(taken)} of GPU memory, the smallest GPU has {size(memory)}"
        text += f"{slots}: a cohort is halved when memory runs out; execution.cohort_size makes it small from the start"
        problems.append(Problem(text, kind=WARNING))
    return problems


def _unreadable(jobs: Jobs) -> list[Problem]:
    """Return which data sets cannot be read."""
    problems = []
    for store in jobs.artefacts.stores.values():
        try:
            jobs.shape(store)
        except (VicinalError, OSError) as error:
            problems.append(Problem(describe(error), _of_store(jobs.artefacts, store)))
    return problems


def _of_store(artefacts: Artefacts, store: DataSet) -> tuple[str, ...]:
    return artefacts.names(lambda study: store.id in study.stores)


def _trained(artefacts: Artefacts, changes: Mapping[Ref, Change]) -> list[tuple[Teacher | Cohort, int]]:
    """Return the teachers and cohorts that would be trained, each with the number of networks."""
    units = artefacts.units
    return [(units[ref], len(change.train)) for ref, change in changes.items() if ref in units and change.train]
