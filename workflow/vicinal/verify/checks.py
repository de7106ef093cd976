"""Checks of single artefacts by their own records: files and checksums, what the record says, from what it was made.

Every check reports into a ``Ledger``'s findings and returns the record that it read, empty where there is none. It
needs no plan: a verification compares the records with the plans as well, an import knows the id alone.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.data.store import FORMS, META
from vicinal.errors import VicinalError, describe
from vicinal.records import EVALUATION, HISTORY, RECORD, WEIGHTS
from vicinal.verify.findings import RUN, Ledger
from vicinal.verify.layout import is_plain

# field of a record → what to say where it is not what it should be
FAULTS = {
    "id": "of another id ({found})",
    "spec": "its spec is not the one that is wanted",
    "code": "made by other code ({found}, wanted {wanted})",
    "data_sha256": "made from other data than lies here now",
    "teacher_sha256": "made from another teacher than lies here now",
    "weights_sha256": "made from other weights than lie here now",
}


def anew(directory: Path) -> str:
    """Return the remedy for an artefact that has to be made again."""
    return f"delete {directory} and {RUN}"


def compare(ledger: Ledger, path: Path, record: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str) -> None:
    """Report each field of a record that is not what is wanted; of an empty record nothing."""
    for name, value in wanted.items():
        if record and record.get(name) != value:
            fault = FAULTS[name].format(found=record.get(name), wanted=value)
            ledger.findings.add(path, fault, remedy)


def check_sums(ledger: Ledger, record: Path, sums: Any, remedy: str, expected: Iterable[str] = ()) -> bool:
    """Compare the files beside a record with their recorded checksums; tell whether all are there and agree.

    Args:
        ledger: hashes the files.
        record: path of the record.
        sums: file name → SHA-256, as recorded.
        remedy: what to do with a file that differs.
        expected: names that must be among them.
    """
    if not isinstance(sums, dict) or not all(map(is_plain, sums)):
        ledger.findings.add(record, "lists no checksums of the files beside it", remedy, "damaged")
        return False
    if lacking := [name for name in expected if name not in sums]:
        fault = f"lists no checksum of {', '.join(lacking)}: incomplete, or written by older code"
        ledger.findings.add(record, fault, remedy, "damaged")
        return False
    agree = True
    for name, wanted in sums.items():
        path = record.parent / name
        found = ledger.sha256(path)
        if found == wanted:
            continue
        agree = False
        if path.exists():
            ledger.findings.add(path, f"its checksum is not the one in {record.name}", remedy, "damaged")
        else:
            ledger.findings.add(path, "missing", remedy, "missing")
    return agree


def check_store(ledger: Ledger, directory: Path) -> dict[str, Any]:
    """Check a data store: sums of its files and the one over all content; return its ``meta.json``."""
    remedy, path = anew(directory), directory / META
    meta = ledger.record(path, remedy)
    if not meta:
        return {}
    if meta.get("format") not in FORMS or not isinstance(meta.get("files"), dict):
        ledger.findings.add(path, "not the record of a data store", remedy, "damaged")
        return {}
    sums = {name: entry.get("sha256") for name, entry in meta["files"].items() if isinstance(entry, dict)}
    if check_sums(ledger, path, sums, remedy, FORMS[meta["format"]]) and not _is_content(directory, meta):
        ledger.findings.add(path, "its checksum of all content is not that of the files", remedy)
    copy = directory / "data.json"
    if ledger.record(copy, remedy) not in ({}, meta):
        ledger.findings.add(copy, f"not the same as {META}", remedy)
    made = ledger.record(directory / "provenance.json", remedy)
    codes = {meta.get("code"), *(entry["from"] for entry in accepted(meta))}
    if made and (made.get("spec") != meta.get("spec") or made.get("code") not in codes):
        ledger.findings.add(directory / "provenance.json", f"of another spec or code than {META}", remedy)
    return meta


def _is_content(directory: Path, meta: Mapping[str, Any]) -> bool:
    from vicinal.data.prepare import content_hash
    from vicinal.opening import open_store

    try:
        return content_hash(meta, open_store(directory / META).splits) == meta["sha256"]
    except (VicinalError, KeyError):
        return False


def check_model(ledger: Ledger, directory: Path, remedy: str) -> dict[str, Any]:
    """Check a trained model: the sums of its files, and that the weights are a safetensors file."""
    path = directory / RECORD
    record = ledger.record(path, remedy)
    if not record:
        return {}
    ledger.findings.models += 1
    sums = record.get("sha256")
    if check_sums(ledger, path, sums, remedy, (WEIGHTS, HISTORY)) and (fault := weights_fault(directory / WEIGHTS)):
        ledger.findings.add(directory / WEIGHTS, fault, remedy, "damaged")
    return record if isinstance(sums, dict) else {}


def weights_fault(path: Path) -> str | None:
    """Return what is wrong with the header of a safetensors file, None if nothing; the tensors are not read.

    The header is 8 bytes (its length, little endian) and JSON: tensor → dtype, shape and the ends of its bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            return "not a safetensors file: its header is longer than the file"
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            return f"not a safetensors file: its header cannot be read ({describe(error)})"
    if not ends or max(ends) != size - 8 - length:
        return "not a safetensors file: its header does not describe its size"
    return None


def weights_of(record: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of the weights that a model's record speaks of."""
    return record.get("sha256", {}).get(WEIGHTS)


def check_teacher(ledger: Ledger, directory: Path) -> dict[str, Any]:
    """Check a teacher; return the record of its model."""
    remedy = anew(directory)
    record = check_model(ledger, directory / "model", remedy)
    path = directory / "teacher.json"
    short = ledger.record(path, remedy)
    wanted = {
        "id": record.get("id"),
        "weights_sha256": weights_of(record),
        "data_sha256": record.get("data_sha256"),
    }
    if record:
        compare(ledger, path, short, wanted, remedy)
    return record


def check_evaluation(ledger: Ledger, directory: Path, remedy: str, needed: Iterable[str] = ()) -> dict[str, Any]:
    """Check one measured model: its record, and the tables beside it, ``needed`` ones among them; return the record."""
    path = directory / EVALUATION
    record = ledger.record(path, remedy)
    if record:
        check_sums(ledger, path, record.get("sha256"), remedy, needed)
    return record


def check_listed(ledger: Ledger, path: Path, listed: Any, found: Mapping[str, str | None], what: str) -> None:
    """Compare what a manifest lists with what lies there: name → SHA-256.

    Args:
        ledger: gets the problems.
        path: of the manifest.
        listed: as recorded.
        found: as it is now.
        what: what is listed, for the message.
    """
    remedy = anew(path.parent)
    if not isinstance(listed, dict):
        ledger.findings.add(path, f"lists no {what}", remedy, "damaged")
        return
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            ledger.findings.add(path, f"lists {name}, which is not wanted", remedy)
        elif name not in listed:
            ledger.findings.add(path, f"does not list {name}", remedy)
        elif found[name] is not None and listed[name] != found[name]:
            ledger.findings.add(path, f"its checksum of {name} is not that of what lies here now", remedy)


def accepted(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return when a result of other code was accepted, and from which code to which."""
    entries = record.get("accepted")
    return [entry for entry in entries if isinstance(entry, dict) and "from" in entry] if entries else []
