"""Mixtures: results of several codes, versions, devices or revisions in one experiment."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from vicinal.spec import GIVEN, is_given
from vicinal.verify.checks import accepted
from vicinal.verify.findings import Findings, count

# Of a software mixture with more values than this the rarest are counted together.
SHOWN = 4


def note_record(findings: Findings, stage: str, record: Mapping[str, Any], named: tuple[str, ...] = ()) -> None:
    """Remember code and provenance of a record.

    Args:
        findings: where to remember it.
        stage: what it is of.
        record: has ``code``, ``provenance`` and perhaps ``accepted``.
        named: modules that its spec names: they are part of its code, so only records that name the same are compared.
    """
    if not record:
        return
    codes = findings.code[stage, named]
    # A result that counts under other code is still one of the code that made it.
    history = accepted(record)
    code = str(history[0]["from"] if history else record.get("code"))
    codes[code] = codes.get(code, 0) + 1
    if history:
        findings.accepted[stage] = findings.accepted.get(stage, 0) + 1
    if isinstance(record.get("provenance"), dict):
        # What is given was trained elsewhere: the device that it was read on is none of the training's.
        made = GIVEN if is_given(record.get("spec") or {}) else stage
        findings.provenance.append((made, record["provenance"]))


def mixture_notes(findings: Findings) -> list[str]:
    """Return one line a mixture, with counts."""
    notes = [
        f"{stage} of several codes: {_counted(Counter(codes), 'result')}"
        for (stage, _), codes in findings.code.items()
        if len(codes) > 1
    ]
    notes += [
        f"{count(number, 'result')} of {stage} made by other code, accepted as they are"
        for stage, number in findings.accepted.items()
    ]
    made = [provenance for _, provenance in findings.provenance]
    packages = sorted({name for record in made for name in record.get("packages", {})})
    for name in packages:
        notes += _mixture(f"{name} of several versions", made, lambda record, n=name: record["packages"].get(n, "none"))
    notes += _mixture("Python of several versions", made, lambda record: record.get("python"))
    trained = [provenance for stage, provenance in findings.provenance if stage in TRAINED]
    notes += _mixture("trained or measured on several devices", trained, _device)
    precise = [record for record in trained if record.get("precision")]
    notes += _mixture("trained in several precisions", precise, lambda record: record["precision"])
    notes += _mixture("trained or measured with several thread counts", trained, lambda record: record.get("threads"))
    notes += _mixture("several CPU models", made, lambda record: record.get("cpu"))
    revisions = [record for record in made if record.get("git")]
    notes += _mixture("several git revisions", revisions, lambda record: record["git"].removesuffix("-dirty")[:12])
    dirty = sum(record["git"].endswith("-dirty") for record in revisions)
    if dirty:
        notes.append(f"{count(dirty, 'result')} made by code with changes that were not committed (git: -dirty)")
    return notes


TRAINED = ("teachers", "cohorts", "evaluations", "robustness")


def _mixture(what: str, records: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> list[str]:
    found = Counter(str(value(record)) for record in records if isinstance(record.get("packages"), dict))
    return [f"{what}: {_counted(found, 'result')}"] if len(found) > 1 else []


def _device(record: Mapping[str, Any]) -> str:
    return str(record.get("gpu") or record.get("device"))


def _counted(found: Counter[str], word: str) -> str:
    shown = found.most_common(SHOWN)
    rest = [number for _, number in found.most_common()[SHOWN:]]
    parts = [f"{value} ({count(number, word)})" for value, number in shown]
    if rest:
        parts.append(f"{len(rest)} others ({count(sum(rest), word)})")
    return ", ".join(parts)
