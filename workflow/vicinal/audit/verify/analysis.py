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
    """Check what is made from evaluations: an experiment's tables, claims, a figure, a report.

    Args:
        ledger: reads the files and gets the problems.
        results: the results folder.
        plan: of the output, which is there.
        fresh: whether the output is of this plan; else only its own checksums are checked.
        recompute: whether to compute its numbers again from what it was made from, and compare.
    """
    output, spec, code = results / plan.output, plan.content["spec"], plan.content["code"]
    path = output.with_name("provenance.json") if plan.stage == "experiments" else output.with_suffix(".json")
    remedy = f"delete {output} and {RUN}"
    # ``./reproduce report`` writes reports with a spec of its own.
    wanted = {"code": code} if plan.stage in ("reports", "collections") else {"code": code, "spec": spec}
    record = ledger.compare(path, wanted if fresh else {}, remedy)
    if not record:
        return
    whole = ledger.check_sums(path, record.get("sha256"), remedy, [output.name])
    ledger.made.append((plan.stage, (spec["figure"],) if plan.stage == "figures" else (), record))
    if fresh:
        made_from = record.get("made_from")
        wanted = measurement_records(spec, results) if plan.stage == "experiments" else source_paths(path, made_from)
        check_sources(ledger, path, made_from, wanted, remedy)
    if fresh and recompute and whole and plan.stage in ("experiments", "claims"):
        try:
            _compare(ledger, results, plan, remedy)
        except VicinalError as error:
            ledger.add(output, f"cannot be computed again: {describe(error)}", RUN)


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
        name: (folder if len(found) == 1 or found[0] == "figures" else folder.parent) / name
        for name, found in parts.items()
        if all(map(is_plain, found)) and len(found) <= 2
    }


def _compare(ledger: Ledger, results: Path, plan: Plan, remedy: str) -> None:
    """Compute an experiment's tables or claims again, and compare them."""
    from vicinal.analysis.claims import TABLES, evaluate_claims
    from vicinal.analysis.tables import make_tables
    from vicinal.data.store import read_meta
    from vicinal.files import read_table

    folder = (results / plan.output).parent
    if plan.stage == "claims":
        present = [name for name in TABLES if (folder / f"{name}.parquet").exists()]
        tables = {"claims": evaluate_claims({name: read_table(folder / f"{name}.parquet") for name in present})}
    else:
        # In the order of the plan file, as the job reads it.
        spec = json.loads(json.dumps(plan.content["spec"], sort_keys=True))
        [store] = [id_ for stage, id_ in plan.upstream if stage == "data"]
        tables = make_tables(spec, results, read_meta(results / "data" / store / "meta.json"))
        summary = folder / "summary.csv"
        if summary.exists() and summary.read_text(encoding="utf-8") != tables["summary"].to_csv(index=False):
            ledger.add(summary, "not the summary of the tables of its models", remedy)
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if where := first_difference(read_table(path), table):
            ledger.add(path, f"{where}, computed again", remedy)


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
        return f"its columns are {', '.join(map(str, found))} and should be {', '.join(wanted)}"
    if len(found) != len(wanted):
        return f"has {len(found):,} rows and should have {len(wanted):,}"
    for column in wanted:
        mine, right = found[column].astype(object), wanted[column].astype(object)
        same = (mine == right).fillna(False).astype(bool) | (mine.isna() & right.isna())
        if not same.all():
            row = int(same.to_numpy().argmin())
            return f"{column} in row {row} is {mine.iloc[row]} and should be {right.iloc[row]}"
    return None
