"""Whether two results folders hold the same, apart from when and where it was made."""

import json
from pathlib import Path

# What a run says of itself: never the same twice.
OF_THE_RUN = ("logs/", "benchmarks/", "heartbeats/", ".lock")
OF_THE_RUN += ("plan/sources.json", "plan/costs.json", "plan/folders.json", "plan/finished.json")
TELLTALE = (".log", "benchmark.tsv")
# Made from records with dates in them; that their checksums agree is for ./reproduce verify to tell.
DATED = ("report.html",)


def result_files(results: Path) -> dict[str, Path]:
    """Return the files of a results folder by their names below it, except what a run says of itself."""
    files = {str(path.relative_to(results)): path for path in sorted(results.rglob("*")) if path.is_file()}
    return {
        name: path for name, path in files.items() if not name.startswith(OF_THE_RUN) and not name.endswith(TELLTALE)
    }


def differences(first: Path, second: Path) -> list[str]:
    """Return a line for each file that is not the same in two results folders.

    Everything is compared byte for byte, and JSON records apart from their provenance and the checksums of records.
    """
    one, other = result_files(first), result_files(second)
    lines = [f"{name}: only undisturbed" for name in one.keys() - other.keys()]
    lines += [f"{name}: only disturbed" for name in other.keys() - one.keys()]
    for name in one.keys() & other.keys():
        if one[name].read_bytes() == other[name].read_bytes() or name.endswith(DATED):
            continue
        if not name.endswith(".json"):
            lines.append(f"{name}: other bytes")
        elif undated(name, json.loads(one[name].read_bytes())) != undated(name, json.loads(other[name].read_bytes())):
            lines.append(f"{name}: another record")
    return sorted(lines)


def undated(name: str, record: dict) -> dict:
    """Return a record without what tells when, where and from which other dated records it was made."""
    record = {key: value for key, value in record.items() if key not in ("provenance", "training", "nonce")}
    if name.startswith("evaluations/") and "models" in record:
        record["models"] = sorted(record["models"])
    if name.endswith(("/provenance.json", "/report.json")):
        record["made_from"] = sorted(record.get("made_from", ()))
    if name.endswith("/report.json"):
        record["sha256"] = sorted(record["sha256"])
    return record
