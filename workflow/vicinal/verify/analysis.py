"""Tables, claims, figures and reports: their checksums, what they were made from, and their numbers computed anew."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError, describe
from vicinal.planning import Plan
from vicinal.records import EVALUATION, model_folder
from vicinal.verify.checks import check_sums, compare
from vicinal.verify.findings import RUN, Ledger
from vicinal.verify.layout import is_plain
from vicinal.verify.mixtures import note_record

if TYPE_CHECKING:
    import pandas as pd

# The table in which a data store's classes are listed, and the one of which there is a CSV file.
CLASSES, SUMMARY = "classes", "summary"


def record_path(output: Path, stage: str) -> Path:
    """Return where the record of a table, a page or a figure lies."""
    return output.with_name("provenance.json") if stage == "experiments" else output.with_suffix(".json")


def check_analysis(ledger: Ledger, results: Path, plan: Plan, fresh: bool, recompute: bool) -> None:
    """Check what is made from evaluations: an experiment's tables, claims, a figure, a report.

    Args:
        ledger: reads the files and gets the problems.
        results: the results folder.
        plan: of it.
        fresh: whether it is of this plan; else its own checksums are all that can be asked for.
        recompute: whether to compute its numbers anew from what it was made from, and compare.
    """
    output = results / plan.output
    path, remedy = record_path(output, plan.stage), f"delete {output} and {RUN}"
    if not output.exists():
        return
    record = ledger.record(path, remedy)
    if not record:
        return
    # A missing output makes Snakemake run its job; that of another file of the job would do as well.
    whole = check_sums(ledger, path, record.get("sha256"), remedy, [output.name])
    if plan.stage == "figures":
        named: tuple[str, ...] = (plan.content["spec"]["figure"],)
    else:
        named = ()
    note_record(ledger.findings, plan.stage, record, named)
    if not fresh:
        return
    spec = {} if plan.stage in ("reports", "collections") else {"spec": plan.content["spec"]}
    compare(ledger, path, record, {**spec, "code": plan.content["code"]}, remedy)
    _check_sources(ledger, path, record.get("made_from"), _sources(results, plan, output), remedy)
    if recompute and whole and plan.stage in ("experiments", "claims"):
        compute = _tables if plan.stage == "experiments" else _claims
        try:
            compute(ledger, results, plan, output.parent, remedy)
        except VicinalError as error:
            ledger.findings.add(output, f"cannot be computed anew: {describe(error)}", RUN)


def _sources(results: Path, plan: Plan, output: Path) -> dict[str, Path] | None:
    """Return what an experiment's tables must be made from, by the names in their record; None where any may be."""
    if plan.stage != "experiments":
        return None
    spec = plan.content["spec"]
    found = {id_: results / "evaluations" / row["evaluation"] / id_ / EVALUATION for id_, row in spec["models"].items()}
    corrupted = spec.get("corrupted", {}).items()
    return found | {f"robustness/{id_}": results / "robustness" / unit / id_ / EVALUATION for id_, unit in corrupted}


def _check_sources(ledger: Ledger, path: Path, made_from: Any, sources: Mapping[str, Path] | None, remedy: str) -> None:
    if not isinstance(made_from, dict):
        ledger.findings.add(path, "does not say what it was made from", remedy, "damaged")
        return
    if sources is None:
        found = source_paths(path, made_from)
        if not all(found.values()):
            ledger.findings.add(path, "lists a source outside of the results", remedy, "damaged")
            return
        sources = {name: source for name, source in found.items() if source is not None}
    # What is made from a file that is damaged itself is mended with it.
    bad = {problem.path for problem in ledger.findings.problems if problem.kind in ("damaged", "missing")}
    for name in sorted(made_from.keys() | sources.keys()):
        if name not in sources:
            ledger.findings.add(path, f"made from {name} too, which is not wanted", remedy)
        elif name not in made_from:
            ledger.findings.add(path, f"not made from {name}", remedy)
        elif sources[name] not in bad and ledger.sha256(sources[name]) != made_from[name]:
            ledger.findings.add(path, f"made from another {sources[name]} than lies here now", remedy)


def source_paths(record: Path, made_from: Mapping[str, str]) -> dict[str, Path | None]:
    """Return where the sources lie that a record names; None for a name that leads elsewhere.

    Names stand for files in the folder of the experiment, those of a collection for files below the results folder.
    """
    folder = record.parent.parent if record.parent.name == "figures" else record.parent
    found: dict[str, Path | None] = {}
    for name in made_from:
        parts = name.split("/")
        beside = folder / name
        found[name] = None
        if all(map(is_plain, parts)) and len(parts) <= 2:
            found[name] = beside if len(parts) == 1 or parts[0] == "figures" else folder.parent / name
    return found


def _tables(ledger: Ledger, results: Path, plan: Plan, folder: Path, remedy: str) -> None:
    from vicinal.aggregate import class_table, collect, corruption_sources, corruption_table, model_table, summarise
    from vicinal.data.store import read_meta
    from vicinal.files import read_table

    # In the order of the plan file, which the job reads.
    spec = json.loads(json.dumps(plan.content["spec"], sort_keys=True))
    folders, trained = {}, {}
    for id_, row in spec["models"].items():
        folders[id_] = results / "evaluations" / row["evaluation"] / id_
        trained[id_] = model_folder(results, row["role"], id_)
    models = model_table(spec["models"])
    tables = collect(models, folders, trained)
    corrupted = corruption_sources(spec["models"], spec.get("corrupted", {}), results)
    tables["corruptions"] = corruption_table(models, corrupted)
    tables[SUMMARY] = summarise(tables["metrics"])
    [store] = [id_ for stage, id_ in plan.upstream if stage == "data"]
    tables[CLASSES] = class_table(read_meta(results / "data" / store / "meta.json"))
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if path.exists() and (where := first_difference(read_table(path), table)):
            ledger.findings.add(path, f"{where} (by the tables of its models)", f"delete {path} and {RUN}")
    csv = folder / f"{SUMMARY}.csv"
    if csv.exists() and csv.read_text(encoding="utf-8") != tables[SUMMARY].to_csv(index=False):
        ledger.findings.add(csv, "not the summary of the tables of its models", f"delete {csv} and {RUN}")


def _claims(ledger: Ledger, results: Path, plan: Plan, folder: Path, remedy: str) -> None:
    from vicinal.claims import TABLES, evaluate_claims
    from vicinal.files import read_table

    present = [name for name in TABLES if (folder / f"{name}.parquet").exists()]
    claims = evaluate_claims({name: read_table(folder / f"{name}.parquet") for name in present})
    path = folder / "claims.parquet"
    if where := first_difference(read_table(path), claims):
        ledger.findings.add(path, f"{where} (by the tables)", remedy)


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
        odd = [str(column) for column in [*found, *wanted] if (column in found) != (column in wanted)]
        return f"has too many or too few columns ({', '.join(odd)})" if odd else "its columns are in another order"
    if len(found) != len(wanted):
        return f"has {len(found):,} rows and should have {len(wanted):,}"
    for column in wanted:
        mine, right = found[column].astype(object), wanted[column].astype(object)
        differs = ~((mine == right).fillna(False).astype(bool) | (mine.isna() & right.isna()))
        if differs.any():
            row = int(differs.to_numpy().argmax())
            return f"{column} in row {row} is {mine.iloc[row]} and should be {right.iloc[row]}"
    return None
