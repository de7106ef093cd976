"""The files of a report: the HTML page, and a JSON record beside it that says what the page was made from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vicinal.analysis.report.combined import combined_context
from vicinal.analysis.report.context import Inputs, context
from vicinal.analysis.report.inputs import CLAIMS, METRICS, read_inputs, read_records
from vicinal.analysis.report.page import render
from vicinal.errors import VicinalError
from vicinal.files import sha256, write_json, write_text
from vicinal.jobs.provenance import Stopwatch, provenance


def write_report(inputs: Inputs, output: Path, spec: Mapping[str, Any], code: str, watch: Stopwatch) -> None:
    """Write the report of an experiment, and its record beside it.

    Args:
        inputs: see ``read_inputs``.
        output: the page, ends in .html; the record ends in .json.
        spec: of the report, for the record.
        code: fingerprint of the stage, for the record.
        watch: started when the job began.
    """
    _write(render(context(inputs)), output, spec, code, inputs.made_from, watch)


def write_combined(
    folders: Mapping[Path, Path],
    name: str,
    output: Path,
    spec: Mapping[str, Any],
    code: str,
    watch: Stopwatch,
    results: Path | None = None,
) -> list[str]:
    """Write the report of several experiments, side by side, and its record beside it.

    Args:
        folders: for the folder of each experiment's tables the one that has its claims and its own report.
        name: of the collection.
        output, spec, code, watch: see ``write_report``.
        results: the results folder, which has the record of every model; default the folder that holds the
            experiments, if it has them all.

    Returns:
        The names of the experiments.

    Raises:
        VicinalError: there is no such folder, a file in it is unreadable, a record is missing, or two experiments
            have one name.
    """
    inputs, links, made_from = [], {}, {}
    for folder, made in folders.items():
        own = read_inputs(folder, made)
        if own.name in links:
            raise VicinalError(f"{folder}: a second experiment named {own.name}; name each experiment once")
        own.records |= read_records(results or folder.parent, own.spec, required=results is not None)
        inputs.append(own)
        links[own.name] = Path(os.path.relpath(made / "report.html", output.parent)).as_posix()
        made_from |= {
            f"{own.name}/{table}": own.made_from[table] for table in (CLAIMS, METRICS) if table in own.made_from
        }
    page = render(combined_context(inputs, name, links, spec.get("skipped")), "combined.html.j2")
    _write(page, output, spec, code, made_from, watch)
    return list(links)


def _write(
    page: str, output: Path, spec: Mapping[str, Any], code: str, made_from: Mapping[str, str], watch: Stopwatch
) -> None:
    write_text(output, page)
    record = {
        "spec": spec,
        "code": code,
        "sha256": {output.name: sha256(output)},
        "made_from": made_from,
        "provenance": provenance(watch),
    }
    write_json(output.with_suffix(".json"), record)
