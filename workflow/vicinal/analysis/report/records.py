"""What produced the results: versions, devices, revisions and wall time by stage, and where they are mixed."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

STAGES = ("training", "evaluation", "tables", "claims", "figures")


def provenance_context(records: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the provenance of a report.

    Args:
        records: by stage, the records of ``vicinal.jobs.provenance``. Models trained by one job share its record, which
            counts once.

    Returns:
        ``stages``: one row a stage that has records (name, jobs, wall time in s, peak memory in bytes, devices,
        revisions, first and last start, UTC). ``versions``: one row a package with the versions found.
        ``mixtures``: one sentence for each thing of which there is more than one among jobs that ought to agree.
    """
    jobs = {stage: _jobs(records.get(stage, [])) for stage in STAGES}
    stages = [_stage(stage, found) for stage, found in jobs.items() if found]
    everything = [job for found in jobs.values() for job in found]
    versions = _versions(everything)
    return {"stages": stages, "versions": versions, "mixtures": _mixtures(jobs, everything, versions)}


def revision_of(records: Mapping[str, list[dict[str, Any]]]) -> str | None:
    """Return the one git revision that the first stage of ``records`` ran at; None if there is no such clean one."""
    first = next((records[stage] for stage in STAGES if records.get(stage)), [])
    revisions = {job.get("git") for job in first}
    revision = revisions.pop() if len(revisions) == 1 else None
    return revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else None


def _jobs(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records without repetition, in their order."""
    keys = ("began", "command", "wall_seconds")
    return list({tuple(str(record.get(key)) for key in keys): record for record in records}.values())


def _stage(name: str, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    began = [job["began"] for job in jobs if job.get("began")]
    return {
        "name": name,
        "jobs": len(jobs),
        "seconds": sum(job.get("wall_seconds") or 0 for job in jobs),
        "memory": max((job.get("peak_memory_bytes") or 0 for job in jobs), default=0),
        "devices": _distinct(_device(job) for job in jobs),
        "revisions": _distinct(_revision(job) for job in jobs),
        "began": min(began, default="")[:16].replace("T", " "),
        "ended": max(began, default="")[:16].replace("T", " "),
    }


def _device(job: Mapping[str, Any]) -> str:
    """Return what a job computed on; a CPU with its threads, since bits depend on their number."""
    if job.get("gpu"):
        return f"{job['gpu']} (CUDA {job.get('cuda')})"
    threads = job.get("threads")
    count = f", {threads} {'thread' if threads == 1 else 'threads'}" if threads else ""
    return f"CPU: {job.get('cpu') or 'unknown'}{count}"


def _revision(job: Mapping[str, Any]) -> str:
    return str(job.get("git") or "not a git checkout")


def _versions(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        for package, version in {"python": job.get("python"), **(job.get("packages") or {})}.items():
            if version:
                found.setdefault(package, []).append(str(version))
    return [{"package": package, "versions": _distinct(versions)} for package, versions in found.items()]


def _mixtures(jobs: Mapping[str, list], everything: list, versions: list[dict[str, Any]]) -> list[str]:
    found = [f"{row['package']}: {', '.join(row['versions'])}" for row in versions if len(row["versions"]) > 1]
    for stage in ("training", "evaluation"):  # the others use no device
        devices = _distinct(_device(job) for job in jobs[stage])
        if len(devices) > 1:
            found.append(f"devices of {stage}: {'; '.join(devices)}")
    revisions = _distinct(_revision(job) for job in everything)
    if len(revisions) > 1:
        found.append(f"revisions of the code: {', '.join(revisions)}")
    dirty = [revision for revision in revisions if revision.endswith("-dirty")]
    if dirty:
        found.append(f"code that differs from its revision: {', '.join(dirty)}")
    return found


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
