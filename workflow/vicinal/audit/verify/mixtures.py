"""Mixtures: results of several codes, versions, devices or revisions in one experiment, or of unlocked versions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from vicinal.jobs.lock import LOCK, is_locked, locked_versions
from vicinal.jobs.provenance import PACKAGES
from vicinal.results import ON_DEVICE
from vicinal.spec import is_given
from vicinal.words import count


def made_by(record: Mapping[str, Any]) -> str:
    """Return the code that made a result, which may count under other code since."""
    entries = record.get("accepted")
    first = entries[0] if isinstance(entries, list) and entries else None
    return str(first["from"] if isinstance(first, dict) and "from" in first else record.get("code"))


def mixture_notes(made: Iterable[tuple[str, tuple[str, ...], Mapping[str, Any]]]) -> list[str]:
    """Return a line for each mixture among records, with counts; ``made`` as in ``Ledger``."""
    found: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    accepted, dirty = Counter[str](), 0
    for stage, named, record in made:
        # Modules that a spec names are part of its code: only records that name the same are compared.
        found[f"{stage} of several codes", named][made_by(record)] += 1
        accepted[stage] += bool(record.get("accepted"))
        made_with = record.get("provenance")
        if not isinstance(made_with, dict) or not isinstance(packages := made_with.get("packages"), dict):
            continue
        git = str(made_with.get("git") or "")
        dirty += git.endswith("-dirty")
        values = {f"{name} of several versions": packages.get(name, "none") for name in PACKAGES}
        values["Python of several versions"] = made_with.get("python")
        values["several CPU models"] = made_with.get("cpu")
        values["several git revisions"] = git.removesuffix("-dirty")[:12]
        # Given weights were trained elsewhere, not on the device on which they were read.
        if stage in ON_DEVICE and not is_given(record.get("spec") or {}):
            values["trained or measured on several devices"] = made_with.get("gpu") or made_with.get("device")
            values["trained in several precisions"] = made_with.get("precision")
            values["trained or measured with several thread counts"] = made_with.get("threads")
        for what, value in values.items():
            if value:
                found[what, ()][str(value)] += 1
    notes = [f"{what}: {_counted(values)}" for (what, _), values in found.items() if len(values) > 1]
    notes += [f"{count(n, 'result')} of {stage} made by other code, accepted" for stage, n in accepted.items() if n]
    if dirty:
        notes.append(f"{count(dirty, 'result')} made by code with changes that were not committed (git: -dirty)")
    return notes


def lock_notes(made: Iterable[tuple[str, tuple[str, ...], Mapping[str, Any]]]) -> list[str]:
    """Return a line for each package of which results were made with another version than the lock file asks for."""
    locked = locked_versions()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for *_, record in made:
        made_with = record.get("provenance")
        packages = made_with.get("packages") if isinstance(made_with, dict) else None
        for name, version in packages.items() if isinstance(packages, dict) else ():
            if name in locked and not is_locked(str(version), locked[name]):
                found[name][str(version)] += 1
    return [f"{name} is not {locked[name]}, as in {LOCK.name}: {_counted(found[name])}" for name in found]


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{value} ({count(n, 'result')})" for value, n in found.most_common())
