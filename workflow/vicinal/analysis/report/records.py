"""How results were made: versions, devices, revisions and wall time of each step, and where these differ."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vicinal.words import count

STEPS = ("training", "evaluation", "tables", "claims", "figures")


def provenance_context(records: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the provenance of a report.

    Args:
        records: by step, the records of ``vicinal.jobs.provenance``. Models trained by one job share its record, which
            counts once.

    Returns:
        ``steps``: one row for each step with records (name, jobs, wall time in s, peak memory in bytes, devices,
        revisions, first and last start, UTC). ``versions``: one row a package with the versions found.
        ``mixtures``: one sentence for each thing in which jobs differ that should agree.
    """
    jobs = {step: _jobs(records.get(step, [])) for step in STEPS}
    steps = [_step(step, found) for step, found in jobs.items() if found]
    everything = [job for found in jobs.values() for job in found]
    versions = _versions(everything)
    return {"steps": steps, "versions": versions, "mixtures": _mixtures(jobs, everything, versions)}


def revision_of(records: Mapping[str, list[dict[str, Any]]]) -> str | None:
    """Return the git revision that the first step of ``records`` ran at; None if it is not one, or not clean."""
    first = next((records[step] for step in STEPS if records.get(step)), [])
    revisions = {job.get("git") for job in first}
    revision = revisions.pop() if len(revisions) == 1 else None
    return revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else None


def _jobs(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records without repetition, in their order."""
    keys = ("began", "command", "wall_seconds")
    return list({tuple(str(record.get(key)) for key in keys): record for record in records}.values())


def _step(name: str, jobs: list[dict[str, Any]]) -> dict[str, Any]:
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
    threads = f", {count(job['threads'], 'thread')}" if job.get("threads") else ""
    return f"CPU: {job.get('cpu') or 'unknown'}{threads}"


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
    for step in ("training", "evaluation"):  # the others use no device
        devices = _distinct(_device(job) for job in jobs[step])
        if len(devices) > 1:
            found.append(f"devices of {step}: {'; '.join(devices)}")
    revisions = _distinct(_revision(job) for job in everything)
    if len(revisions) > 1:
        found.append(f"revisions of the code: {', '.join(revisions)}")
    dirty = [revision for revision in revisions if revision.endswith("-dirty")]
    if dirty:
        found.append(f"code that differs from its revision: {', '.join(dirty)}")
    return found


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
