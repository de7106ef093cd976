"""Checks a bare folder of an experiment's tables, figures and claims, as far as its own records go."""

from pathlib import Path

from vicinal.audit.verify.analysis import check_sources, source_paths
from vicinal.audit.verify.findings import Ledger
from vicinal.audit.verify.layout import foreign_files
from vicinal.audit.verify.mixtures import mixture_notes
from vicinal.errors import VicinalError
from vicinal.results import is_plain
from vicinal.words import count

RECORDS = ("provenance.json", "claims.json", "report.json")
REMEDY = "take it from the folder that this one was copied from"
SHOWN = 6


def verify_folder(folder: Path) -> Ledger:
    """Compare the files of a folder with what the records in it say of them; note what cannot be checked.

    Args:
        folder: results/NAME, or a part of one that was published.

    Raises:
        VicinalError: there is no such folder, or no record in it.
    """
    if not folder.is_dir():
        raise VicinalError(f"--from {folder}: no such folder; name one with an experiment's results (results/NAME)")
    records = [path for name in RECORDS if (path := folder / name).exists()]
    records += [path for path in sorted((folder / "figures").glob("*.json")) if not path.name.startswith(".")]
    if not records:
        raise VicinalError(f"--from {folder}: none of {', '.join(RECORDS)} is in it, so nothing can be checked")
    ledger, of = Ledger(), ""
    for path in records:
        record = ledger.record(path, REMEDY)
        if not record:
            continue
        ledger.made.append((path.stem, (), record))
        sums, made_from = record.get("sha256"), record.get("made_from")
        if isinstance(sums, dict):
            absent = [name for name in sums if is_plain(name) and not (path.parent / name).exists()]
            sums = {name: sums[name] for name in sums if name not in absent}
            if absent:
                ledger.notes.append(f"{path.name} lists files that are not here: {_few(absent)}")
        ledger.check_sums(path, sums, REMEDY)
        if path.name == "provenance.json":
            ledger.models = len((record.get("spec") or {}).get("models", {}))
            of = f" ({count(len(made_from or {}), 'evaluation')} that they were made from)"
        else:
            present = {name: source for name, source in source_paths(path, made_from).items() if source.exists()}
            check_sources(ledger, path, {name: made_from[name] for name in present}, present, REMEDY)
    if unknown := [str(path.relative_to(folder)) for path in foreign_files(folder)]:
        ledger.notes.append(f"not checked, since no record here lists them: {_few(unknown)}")
    ledger.notes.append(f"models and measurements behind the tables do not lie here{of}: ./reproduce verify there")
    ledger.mixtures = mixture_notes(ledger.made)
    return ledger


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
