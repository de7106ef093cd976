"""Mixtures: results of several codes, versions, devices or revisions in one experiment."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vicinal.audit.verify.findings import Findings
from vicinal.results import ON_DEVICE
from vicinal.spec import is_given
from vicinal.words import count

# Of a mixture with more values than this the rarest are counted together.
SHOWN = 4


def accepted(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return when a result of other code was accepted, and from which code to which."""
    entries = record.get("accepted")
    return [entry for entry in entries if isinstance(entry, dict) and "from" in entry] if entries else []


def mixture_notes(findings: Findings) -> list[str]:
    """Return one line a mixture among the records that were found, with counts."""
    codes: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    taken: Counter[str] = Counter()
    for stage, named, record in findings.made:
        # A result that counts under other code is still one of the code that made it.
        history = accepted(record)
        # Modules that a spec names are part of its code: only records that name the same are compared.
        codes[stage, named][str(history[0]["from"] if history else record.get("code"))] += 1
        taken[stage] += bool(history)
    notes = [f"{stage} of several codes: {_counted(found)}" for (stage, _), found in codes.items() if len(found) > 1]
    notes += [
        f"{count(n, 'result')} of {stage} made by other code, accepted as they are" for stage, n in taken.items() if n
    ]
    with_provenance = [
        (stage, record) for stage, _, record in findings.made if isinstance(record.get("provenance"), dict)
    ]
    made = [record["provenance"] for _, record in with_provenance]
    # What is given was trained elsewhere: the device that it was read on is none of the training's.
    trained = [
        record["provenance"]
        for stage, record in with_provenance
        if stage in ON_DEVICE and not is_given(record.get("spec") or {})
    ]
    for name in sorted({name for record in made for name in record.get("packages", {})}):
        notes += _mixture(f"{name} of several versions", made, lambda record, n=name: record["packages"].get(n, "none"))
    precise = [record for record in trained if record.get("precision")]
    revisions = [record for record in made if record.get("git")]
    dirty = sum(record["git"].endswith("-dirty") for record in revisions)
    notes += [
        *_mixture("Python of several versions", made, lambda record: record.get("python")),
        *_mixture("trained or measured on several devices", trained, lambda r: r.get("gpu") or r.get("device")),
        *_mixture("trained in several precisions", precise, lambda record: record["precision"]),
        *_mixture("trained or measured with several thread counts", trained, lambda record: record.get("threads")),
        *_mixture("several CPU models", made, lambda record: record.get("cpu")),
        *_mixture("several git revisions", revisions, lambda record: record["git"].removesuffix("-dirty")[:12]),
    ]
    if dirty:
        notes.append(f"{count(dirty, 'result')} made by code with changes that were not committed (git: -dirty)")
    return notes


def _mixture(what: str, records: Iterable[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> list[str]:
    found = Counter(str(value(record)) for record in records if isinstance(record.get("packages"), dict))
    return [f"{what}: {_counted(found)}"] if len(found) > 1 else []


def _counted(found: Counter[str]) -> str:
    numbers = found.most_common()
    parts = [f"{value} ({count(n, 'result')})" for value, n in numbers[:SHOWN]]
    if rest := numbers[SHOWN:]:
        parts.append(f"{len(rest)} others ({count(sum(n for _, n in rest), 'result')})")
    return ", ".join(parts)
