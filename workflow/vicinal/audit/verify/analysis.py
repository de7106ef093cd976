"""Tables, claims, figures and reports: their checksums, what they were made from, and their numbers computed again."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.analysis.origin import measurement_records
from vicinal.audit.verify.findings import RUN, Ledger
from vicinal.errors import VicinalError, describe
from vicinal.planning.plans import Plan
from vicinal.results import is_plain

if TYPE_CHECKING:
    import pandas as pd


def check_analysis(ledger: Ledger, results: Path, plan: Plan, fresh: bool, recompute: bool) -> None:
    """Check what is made from evaluations: an experiment's tables, claims, figures, a report.

    Args:
        ledger: reads the files and gets the problems.
        results: the results folder.
        plan: of the output.
        fresh: whether the output is of this plan; else only its own checksums are checked.
        recompute: whether to compute its numbers again from what it was made from, and compare.
    """
    output, spec = results / plan.output, plan.content["spec"]
    if not output.exists():
        return
    if plan.stage == "figures":
        for name in spec["figures"]:
            own = {"experiment": spec["experiment"], "figure": name}
            _check_output(ledger, results, plan, output.with_name(f"{name}.pdf"), own, fresh)
        return
    whole = _check_output(ledger, results, plan, output, spec, fresh)
    if recompute and whole and plan.stage in ("experiments", "claims"):
        compare = _compare_tables if plan.stage == "experiments" else _compare_claims
        try:
            compare(ledger, results, plan, output.parent)
        except VicinalError as error:
            ledger.findings.add(output, f"cannot be computed again: {describe(error)}", RUN)


def _check_output(ledger: Ledger, results: Path, plan: Plan, output: Path, spec: dict[str, Any], fresh: bool) -> bool:
    """Compare an output, its record and its sources; return whether its files are as recorded and its sources known."""
    path = output.with_name("provenance.json") if plan.stage == "experiments" else output.with_suffix(".json")
    remedy = f"delete {output} and {RUN}"
    wanted = {"spec": spec, "code": plan.content["code"]}
    if plan.stage in ("reports", "collections"):
        del wanted["spec"]
    record = ledger.compare(path, wanted if fresh else {}, remedy)
    if not record:
        return False
    whole = ledger.check_sums(path, record.get("sha256"), remedy, [output.name])
    ledger.findings.made.append((plan.stage, (), record))
    if not fresh:
        return False
    made_from = record.get("made_from")
    if plan.stage == "experiments":
        sources = measurement_records(spec, results)
    else:
        sources = source_paths(path, made_from if isinstance(made_from, dict) else {})
    if not all(sources.values()):
        ledger.findings.add(path, "lists a source outside of the results", remedy, "damaged")
        return False
    check_sources(ledger, path, made_from, sources, remedy)
    return whole


def check_sources(ledger: Ledger, path: Path, made_from: Any, sources: Mapping[str, Path], remedy: str) -> None:
    """Compare the name → SHA-256 of what a record was made from with the files that it must be made from."""
    # What is made from a damaged file will be made again with it.
    bad = {problem.path for problem in ledger.findings.problems if problem.kind in ("damaged", "missing")}
    found = {name: None if source in bad else ledger.sha256(source) for name, source in sources.items()}
    ledger.check_listed(path, made_from, found, "sources", remedy)


def source_paths(record: Path, made_from: Mapping[str, str]) -> dict[str, Path | None]:
    """Return where the sources lie that a record names; None for a name that leads elsewhere.

    Names are those of files in the folder of the experiment, in a collection of files below the results folder.
    """
    folder = record.parent.parent if record.parent.name == "figures" else record.parent
    found: dict[str, Path | None] = {}
    for name in made_from:
        parts = name.split("/")
        root = folder if len(parts) == 1 or parts[0] == "figures" else folder.parent
        found[name] = root / name if all(map(is_plain, parts)) and len(parts) <= 2 else None
    return found


def _compare_tables(ledger: Ledger, results: Path, plan: Plan, folder: Path) -> None:
    from vicinal.analysis.tables import make_tables
    from vicinal.data.store import read_meta
    from vicinal.files import read_table

    # In the order of the plan file, as the job reads it.
    spec = json.loads(json.dumps(plan.content["spec"], sort_keys=True))
    [store] = [id_ for stage, id_ in plan.upstream if stage == "data"]
    tables = make_tables(spec, results, read_meta(results / "data" / store / "meta.json"))
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if path.exists() and (where := first_difference(read_table(path), table)):
            ledger.findings.add(path, f"{where} (by the tables of its models)", f"delete {path} and {RUN}")
    csv = folder / "summary.csv"
    if csv.exists() and csv.read_text(encoding="utf-8") != tables["summary"].to_csv(index=False):
        ledger.findings.add(csv, "not the summary of the tables of its models", f"delete {csv} and {RUN}")


def _compare_claims(ledger: Ledger, results: Path, plan: Plan, folder: Path) -> None:
    from vicinal.analysis.claims import TABLES, evaluate_claims
    from vicinal.files import read_table

    present = [name for name in TABLES if (folder / f"{name}.parquet").exists()]
    claims = evaluate_claims({name: read_table(folder / f"{name}.parquet") for name in present})
    path = folder / "claims.parquet"
    if where := first_difference(read_table(path), claims):
        ledger.findings.add(path, f"{where} (by the tables)", f"delete {path} and {RUN}")


def first_difference(found: "pd.DataFrame", wanted: "pd.DataFrame") -> str | None:
    """Return where a table first differs from what it should be, exactly; None if it does not.

    Args:
        found: as read from Parquet.
        wanted: as computed; it is written as Parquet and read back, so that the types are comparable.
    """
    import pandas as pd

    buffer = BytesIO()
    wanted.to_parquet(buffer, index=False)
    wanted = pd.read_parquet(buffer)
    if list(found) != list(wanted):
        odd = sorted(set(found) ^ set(wanted))
        return f"has too many or too few columns ({', '.join(odd)})" if odd else "its columns are in another order"
    if len(found) != len(wanted):
        return f"has {len(found):,} rows and should have {len(wanted):,}"
    for column in wanted:
        mine, right = found[column].astype(object), wanted[column].astype(object)
        same = (mine == right).fillna(False).astype(bool) | (mine.isna() & right.isna())
        if not same.all():
            row = int(same.to_numpy().argmin())
            return f"{column} in row {row} is {mine.iloc[row]} and should be {right.iloc[row]}"
    return None
