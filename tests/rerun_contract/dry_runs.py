"""Many dry runs in one process, started in the folder of a project: what Snakemake would run, and what we say it would.

Standard input: JSON, a list of cases: {"config": the settings, "resources": {...}, "cores": n, "append": {file: byte},
"edit": {file: text}}. What is appended or edited is put back afterwards. The edited code is fingerprinted, not run.
Standard output: JSON, a list of {"snakemake": jobs, "planned": jobs, "trained": model ids}, jobs as [rule, id].
"""

import argparse
import contextlib
import json
import logging
import sys
from pathlib import Path

import yaml
from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    RerunTrigger,
    ResourceSettings,
)

from vicinal.jobs import fingerprint
from vicinal.planning.changes import find_changes
from vicinal.planning.experiments import RESULTS, read_artefacts
from vicinal.planning.plans import build_plans

CONFIG = Path("case.yaml")


class Announced(logging.Handler):
    """Keeps the jobs that Snakemake announces."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if getattr(event, "value", event) == "job_info" and record.rule_name != "all":
            self.jobs.append((record.rule_name, "/".join(dict(record.wildcards).values())))


def snakemake_jobs(case: dict) -> list[tuple[str, str]]:
    announced = Announced()
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        resources = ResourceSettings(cores=case.get("cores", 2), resources=case.get("resources", {}))
        workflow = api.workflow(
            resources, config_settings=ConfigSettings(configfiles=[CONFIG]), snakefile=Path("Snakefile")
        )
        logger.handlers[:] = [announced]
        dag = workflow.dag(DAGSettings(rerun_triggers={RerunTrigger.MTIME, RerunTrigger.INPUT}))
        dag.execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))
    return sorted(announced.jobs)


def forget_code() -> None:
    """Have code fingerprinted anew."""
    for function in (fingerprint.stage_fingerprint, fingerprint._imports, fingerprint._look):
        function.cache_clear()


def answer(case: dict) -> dict:
    CONFIG.write_text(yaml.safe_dump(case["config"], sort_keys=False))
    _, artefacts, _ = read_artefacts(argparse.Namespace(experiment=str(CONFIG), set=[]))
    changes = find_changes(build_plans(artefacts), RESULTS).values()
    return {
        "snakemake": snakemake_jobs(case),
        "planned": sorted((change.rule, change.plan.id) for change in changes),
        "trained": sorted(id_ for change in changes for id_ in change.train),
        "reasons": sorted(
            {reason for change in changes for reason in change.reasons if not reason.startswith("after")}
        ),
    }


def main() -> None:
    answers = []
    for case in json.load(sys.stdin):
        with contextlib.ExitStack() as stack:
            for name, byte in case.get("append", {}).items():
                path = Path(name)
                stack.callback(path.write_bytes, path.read_bytes())
                path.write_bytes(path.read_bytes() + bytes([byte]))
            for name, text in case.get("edit", {}).items():
                path = Path(name)
                stack.callback(path.write_bytes, path.read_bytes())
                path.write_text(text, encoding="utf-8")
            if "edit" in case:
                stack.callback(forget_code)
                forget_code()
            with contextlib.redirect_stdout(sys.stderr):
                answers.append(answer(case))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
