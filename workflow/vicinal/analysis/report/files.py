"""The files of a report: the HTML page, and a JSON record beside it that says what the page was made from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vicinal.analysis.origin import write_record
from vicinal.analysis.report.combined import claimed_figures, combined_context
from vicinal.analysis.report.context import Inputs, context
from vicinal.analysis.report.inputs import CLAIMS, METRICS, read_inputs, read_records
from vicinal.analysis.report.page import render
from vicinal.errors import VicinalError
from vicinal.files import write_text
from vicinal.jobs.provenance import Stopwatch


def write_report(inputs: Inputs, output: Path, spec: Mapping[str, Any], code: str, watch: Stopwatch) -> None:
    """Write the report of an experiment, and its record beside it.

    Args:
        inputs: see ``read_inputs``.
        output: the page (.html); the record beside it ends in .json.
        spec: of the report, for the record.
        code: fingerprint of the stage, for the record.
        watch: started when the job began.
    """
    write_text(output, render(context(inputs)))
    write_record(output.with_suffix(".json"), spec, code, watch, [output], inputs.made_from)


def write_combined(
    folders: Mapping[Path, Path],
    name: str,
    output: Path,
    spec: Mapping[str, Any],
    code: str,
    watch: Stopwatch,
    results: Path | None = None,
) -> list[str]:
    """Write the combined report of several experiments, and its record beside it.

    Args:
        folders: folder of an experiment's tables → folder of its claims and its own report.
        name: of the collection.
        output, spec, code, watch: see ``write_report``.
        results: the results folder, with the record of every model; by default the folder that holds the experiments,
            whose records are used if none is missing.

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
        sources = (CLAIMS, METRICS, *(f"figures/{figure}.png" for figure in claimed_figures(own)))
        made_from |= {f"{own.name}/{file}": own.made_from[file] for file in sources if file in own.made_from}
    write_text(output, render(combined_context(inputs, name, links, spec.get("skipped")), "combined.html.j2"))
    write_record(output.with_suffix(".json"), spec, code, watch, [output], made_from)
    return list(links)
