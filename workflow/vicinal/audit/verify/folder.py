"""Checks a bare folder of an experiment's tables, figures and claims, as far as its own records go."""

from pathlib import Path

from vicinal.audit.verify.analysis import check_sources, source_paths
from vicinal.audit.verify.findings import Findings, Ledger
from vicinal.audit.verify.layout import is_left_over, walk
from vicinal.audit.verify.mixtures import mixture_notes
from vicinal.errors import VicinalError
from vicinal.results import is_plain
from vicinal.words import count

RECORDS = ("provenance.json", "claims.json", "report.json")
REMEDY = "take it from the folder that this one was copied from"
SHOWN = 6


def verify_folder(folder: Path) -> tuple[Findings, Ledger]:
    """Compare the files of a folder with what the records in it say of them; note what cannot be checked.

    Args:
        folder: results/NAME, or a part of one that was published.

    Raises:
        VicinalError: there is no such folder, or no record in it.
    """
    if not folder.is_dir():
        raise VicinalError(f"--from {folder}: no such folder; name one with an experiment's results (results/NAME)")
    findings = Findings()
    ledger = Ledger(findings)
    records = [path for name in RECORDS if (path := folder / name).exists()]
    records += [path for path in sorted((folder / "figures").glob("*.json")) if not path.name.startswith(".")]
    if not records:
        raise VicinalError(f"--from {folder}: none of {', '.join(RECORDS)} is in it, so nothing can be checked")
    listed, without_sums, behind = set(records), [], 0
    for path in records:
        record = ledger.record(path, REMEDY)
        sums, made_from = record.get("sha256"), record.get("made_from")
        if record:
            findings.made.append((path.stem, (), record))
        if isinstance(sums, dict):
            present = {name: sums[name] for name in sums if not is_plain(name) or (path.parent / name).exists()}
            ledger.check_sums(path, present, REMEDY)
            listed |= {path.parent / name for name in sums if is_plain(name)}
            if absent := sorted(sums.keys() - present.keys()):
                findings.notes.append(f"{path.name} lists files that are not here: {_few(absent)}")
        else:
            without_sums.append(path.name)
        if path.name == "provenance.json":
            behind = len(made_from or {})
        elif isinstance(made_from, dict):
            present = {name: at for name, at in source_paths(path, made_from).items() if at and at.exists()}
            check_sources(ledger, path, {name: made_from[name] for name in present}, present, REMEDY)
        findings.models = max(findings.models, len((record.get("spec") or {}).get("models", {})))
    if without_sums:
        findings.notes.append(f"no checksums in {_few(without_sums)}: written by an earlier version of the workflow")
    files = [path for _, found in walk(folder) for path in found if not is_left_over(path, folder)]
    unknown = [str(path.relative_to(folder)) for path in files if path not in listed and path.suffix != ".key"]
    if unknown:
        findings.notes.append(f"not checked, since no record here lists them: {_few(unknown)}")
    of = f" ({count(behind, 'evaluation')} that they were made from)" if behind else ""
    findings.notes.append(f"models and measurements behind the tables do not lie here{of}: ./reproduce verify there")
    findings.mixtures += mixture_notes(findings)
    return findings, ledger


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
