"""Mixtures: results of several codes, versions, devices or revisions in one experiment."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from vicinal.audit.verify.findings import Findings
from vicinal.results import ON_DEVICE
from vicinal.spec import is_given
from vicinal.words import count

# Of more values than this the rarest are counted together.
SHOWN = 4


def accepted(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return when a result of other code was accepted, and from which code to which."""
    entries = record.get("accepted")
    return [entry for entry in entries if isinstance(entry, dict) and "from" in entry] if entries else []


def mixture_notes(findings: Findings) -> list[str]:
    """Return a line for each mixture among the records that were found, with counts."""
    codes: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    taken: Counter[str] = Counter()
    made, trained = [], []
    for stage, named, record in findings.made:
        # A result that counts under other code is still one of the code that made it.
        history = accepted(record)
        # Modules that a spec names are part of its code: only records that name the same are compared.
        codes[stage, named][str(history[0]["from"] if history else record.get("code"))] += 1
        taken[stage] += bool(history)
        provenance = record.get("provenance")
        if isinstance(provenance, dict) and isinstance(provenance.get("packages"), dict):
            made.append(provenance)
            # Given weights were trained elsewhere, not on the device on which they were read.
            if stage in ON_DEVICE and not is_given(record.get("spec") or {}):
                trained.append(provenance)
    notes = [f"{stage} of several codes: {_counted(found)}" for (stage, _), found in codes.items() if len(found) > 1]
    notes += [
        f"{count(n, 'result')} of {stage} made by other code, accepted as they are" for stage, n in taken.items() if n
    ]
    for name in sorted({name for record in made for name in record["packages"]}):
        notes += _mixture(f"{name} of several versions", [record["packages"].get(name, "none") for record in made])
    git = [record["git"] for record in made if record.get("git")]
    notes += [
        *_mixture("Python of several versions", [record.get("python") for record in made]),
        *_mixture("trained or measured on several devices", [r.get("gpu") or r.get("device") for r in trained]),
        *_mixture("trained in several precisions", [r["precision"] for r in trained if r.get("precision")]),
        *_mixture("trained or measured with several thread counts", [record.get("threads") for record in trained]),
        *_mixture("several CPU models", [record.get("cpu") for record in made]),
        *_mixture("several git revisions", [revision.removesuffix("-dirty")[:12] for revision in git]),
    ]
    if dirty := sum(revision.endswith("-dirty") for revision in git):
        notes.append(f"{count(dirty, 'result')} made by code with changes that were not committed (git: -dirty)")
    return notes


def _mixture(what: str, values: Iterable[Any]) -> list[str]:
    found = Counter(map(str, values))
    return [f"{what}: {_counted(found)}"] if len(found) > 1 else []


def _counted(found: Counter[str]) -> str:
    numbers = found.most_common()
    parts = [f"{value} ({count(n, 'result')})" for value, n in numbers[:SHOWN]]
    if rest := numbers[SHOWN:]:
        parts.append(f"{len(rest)} others ({count(sum(n for _, n in rest), 'result')})")
    return ", ".join(parts)
