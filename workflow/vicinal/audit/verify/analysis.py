"""Tables, claims, figures and reports: their checksums, what they were made from, and their numbers computed again."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.analysis.origin import measurement_records
from vicinal.audit.verify.findings import RUN, SHOWN, Ledger
from vicinal.audit.verify.layout import foreign_files
from vicinal.audit.verify.mixtures import mixture_notes
from vicinal.errors import VicinalError, describe
from vicinal.planning.plans import Plan
from vicinal.results import META, is_plain

if TYPE_CHECKING:
    import pandas as pd

RECORDS = ("provenance.json", "claims.json", "report.json")
COPY = "take it from the folder that this one was copied from"


def check_analysis(ledger: Ledger, results: Path, plan: Plan, recompute: bool) -> None:
    """Check an experiment's tables, claims, figures, a report; ``recompute``: compute the numbers again, too."""
    output, spec = results / plan.output, plan.content["spec"]
    if plan.stage == "figures":
        for name in spec["figures"]:
            own = {"experiment": spec["experiment"], "figure": name}
            _check_output(ledger, results, plan, output.with_name(f"{name}.pdf"), own)
    elif _check_output(ledger, results, plan, output, spec) and recompute and plan.stage in ("experiments", "claims"):
        try:
            _compare(ledger, results, plan, f"delete {output} and {RUN}")
        except VicinalError as error:
            ledger.add(output, f"cannot be computed again: {describe(error)}", RUN)


def _check_output(ledger: Ledger, results: Path, plan: Plan, output: Path, spec: Mapping[str, Any]) -> bool:
    """Compare an output, its record and its sources; return whether its files are as recorded."""
    path = output.with_name("provenance.json") if plan.stage == "experiments" else output.with_suffix(".json")
    remedy, wanted = f"delete {output} and {RUN}", {"code": plan.content["code"]}
    if plan.stage not in ("reports", "collections"):  # ``./reproduce report`` writes these with a spec of its own
        wanted["spec"] = spec
    if not (record := ledger.compare(path, wanted, remedy)):
        return False
    whole = ledger.check_sums(path, record.get("sha256"), remedy, [output.name])
    ledger.made.append((plan.stage, (), record))
    made_from = record.get("made_from")
    sources = measurement_records(spec, results) if plan.stage == "experiments" else source_paths(path, made_from)
    check_sources(ledger, path, made_from, sources, remedy)
    return whole


def verify_folder(folder: Path) -> Ledger:
    """Compare the files of a folder, results/NAME or a part of one, with its records; note what cannot be checked.

    Raises VicinalError: there is no such folder, or no record in it.
    """
    if not folder.is_dir():
        raise VicinalError(f"--from {folder}: no such folder; name one with an experiment's results (results/NAME)")
    records = [path for name in RECORDS if (path := folder / name).exists()]
    records += [path for path in sorted((folder / "figures").glob("*.json")) if not path.name.startswith(".")]
    if not records:
        raise VicinalError(f"--from {folder}: none of {', '.join(RECORDS)} is in it, so nothing can be checked")
    ledger = Ledger()
    # What the records say of files that may not be here: all of them must speak of the same ones.
    listed = {path.parent / name: sum_ for path in records for name, sum_ in _sums(ledger.record(path, COPY)).items()}
    absent: list[str] = []
    for path in records:
        if not (record := ledger.record(path, COPY)):
            continue
        ledger.made.append((path.stem, (), record))
        sums: Any = record.get("sha256")
        made_from: Any = record.get("made_from")
        if isinstance(sums, dict):
            missing = [name for name in sums if is_plain(name) and not (path.parent / name).exists()]
            sums = {name: sums[name] for name in sums if name not in missing}
            absent += missing
        ledger.check_sums(path, sums, COPY)
        if path.name == "provenance.json":
            ledger.models = len((record.get("spec") or {}).get("models", {}))
        else:
            sources = source_paths(path, made_from)
            present = {name: source for name, source in sources.items() if source.exists()}
            check_sources(ledger, path, {name: made_from[name] for name in present}, present, COPY)
            for name in sources.keys() - present:
                if listed.get(sources[name], made_from[name]) != made_from[name]:
                    ledger.add(path, f"made from another {name} than the records beside it list", COPY)
    if absent:
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        ledger.notes.append(f"not here, though the records list them: {', '.join(absent[:SHOWN])}{more}")
    if unknown := [str(path.relative_to(folder)) for path in foreign_files(folder)]:
        ledger.notes.append(f"not checked, since no record here lists them: {', '.join(unknown)}")
    ledger.notes.append("models and measurements behind the tables do not lie here: ./reproduce verify there")
    ledger.mixtures = mixture_notes(ledger.made)
    return ledger


def _sums(record: Mapping[str, Any]) -> dict[str, Any]:
    sums = record.get("sha256")
    return sums if isinstance(sums, dict) and all(map(is_plain, sums)) else {}


def check_sources(ledger: Ledger, path: Path, made_from: Any, sources: Mapping[str, Path], remedy: str) -> None:
    """Compare the name → SHA-256 of what a record was made from with the files that it must be made from."""
    # What is made from a damaged file will be made again with it.
    bad = {problem.path for problem in ledger.problems if problem.kind in ("damaged", "missing")}
    found = {name: None if source in bad else ledger.sha256(source) for name, source in sources.items()}
    ledger.check_listed(path, made_from, found, "sources", remedy)


def source_paths(record: Path, made_from: Any) -> dict[str, Path]:
    """Return where the sources lie that a record names, without those whose names lead elsewhere.

    Names are those of files in the folder of the experiment, in a collection of files below the results folder.
    """
    folder = record.parent.parent if record.parent.name == "figures" else record.parent
    parts = {name: str(name).split("/") for name in (made_from if isinstance(made_from, dict) else ())}
    return {
        name: (folder if len(found) == 1 or found[:-1] == ["figures"] else folder.parent) / name
        for name, found in parts.items()
        # The folder of a variant has a + in its name.
        if all(is_plain(part.replace("+", "-")) for part in found) and (len(found) <= 2 or found[1:-1] == ["figures"])
    }


def _compare(ledger: Ledger, results: Path, plan: Plan, remedy: str) -> None:
    """Compute an experiment's tables or claims again, and compare them."""
    from vicinal.analysis.claims.files import judged
    from vicinal.analysis.tables import make_tables
    from vicinal.data.store import read_meta
    from vicinal.files import read_table

    folder = (results / plan.output).parent
    if plan.stage == "claims":
        tables = {"claims": judged(folder)}
    else:
        # In the order of the plan file, as the job reads it.
        spec = json.loads(json.dumps(plan.content["spec"], sort_keys=True))
        [store] = [id_ for stage, id_ in plan.upstream if stage == "data"]
        tables = make_tables(spec, results, read_meta(results / "data" / store / META))
        summary = folder / "summary.csv"
        if summary.exists() and summary.read_text(encoding="utf-8") != tables["summary"].to_csv(index=False):
            ledger.add(summary, "not the summary of the tables of its models", remedy)
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if where := first_difference(read_table(path), table):
            ledger.add(path, f"{where}, computed again", remedy)


def first_difference(found: "pd.DataFrame", wanted: "pd.DataFrame") -> str | None:
    """Return where a table read from Parquet first differs from the one that was computed, exactly; None: nowhere."""
    import pandas as pd

    buffer = BytesIO()
    wanted.to_parquet(buffer, index=False)
    wanted = pd.read_parquet(buffer)
    if list(found) != list(wanted) or len(found) != len(wanted):
        has, should = (f"{len(table):,} rows of {', '.join(table)}" for table in (found, wanted))
        return f"has {has} and should have {should}"
    differ = found.astype(object).compare(wanted.astype(object))
    if differ.empty:
        return None
    column = differ.columns[0][0]
    row = differ[column].dropna(how="all").index[0]
    return f"{column} in row {row} is {found[column][row]} and should be {wanted[column][row]}"
