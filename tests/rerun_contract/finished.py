"""A project whose experiment is finished, without a training: every output with its key and record, nothing in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from warm import warm_python

from vicinal.analysis.figures import FIGURES
from vicinal.config import validate
from vicinal.evaluation.files import TABLES, table_files
from vicinal.evaluation.robustness import VALUES
from vicinal.files import write_json, write_table
from vicinal.jobs.plan import record_key
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, resolve
from vicinal.results import HISTORY, STAGES

ROOT = Path(__file__).resolve().parents[2]
# What a rule declares beside the output that carries the key.
BESIDE = {
    "experiments": [
        "vicinal.parquet", "confusion.parquet", "spread.parquet", "similarity.parquet",
        "projection.parquet", "classes.parquet", "reliability.parquet", "history.parquet", "corruptions.parquet",
        "summary.parquet", "summary.csv", "summary.tex", "summary.md",
    ],
    "claims": ["claims.md", "claims.tex", "claims.json"],
    "reports": ["report.json"],
    "collections": ["report.json"],
    "figures": [f"{name}.{ending}" for name in FIGURES for ending in ("pdf", "png", "parquet", "json")],
}  # fmt: skip

BASE = {
    "name": "squares",
    "data": {"name": "squares", "root": "data"},
    "recipe": {"epochs": 4, "batch_size": 8, "lr": 0.1, "momentum": 0.9, "gamma": 0.1},
    "loss": {"kd_weight": 1.0, "ce_weight": 0.0},
    "seeds": [0, 1],
    "evaluation": {"pairs": 100},
    "execution": {"device": "auto", "threads": 1},
    "grids": [
        {
            "teachers": ["resnet14", "resnet8"],
            "students": ["resnet8_narrow"],
            "methods": ["ce", "ce_mixup", "kd", "kd_mixup"],
            "alphas": [1.0],
            "temperatures": [2, 4],
        },
        {
            "teachers": [{"model": "resnet8", "mixup_alpha": 0.5}],
            "students": ["resnet8_narrow"],
            "methods": ["kd_mixup"],
            "alphas": [0.5],
            "temperatures": [2],
            "logit_scales": [1.0, 2.0],
            "seeds": [0],
            "loss": {"kd_weight": 0.9, "ce_weight": 0.1},
        },
    ],
}


def write_squares(folder: Path, shade: int = 0) -> None:
    """Write a data set of 8 × 8 grey squares as Parquet."""
    folder.mkdir(parents=True)
    for split, count in (("train", 40), ("test", 20)):
        images = []
        for i in range(count):
            buffer = pa.BufferOutputStream()
            Image.fromarray(np.full((8, 8), 12 * (i % 20) + shade, dtype=np.uint8)).save(buffer, "PNG")
            images.append({"bytes": buffer.getvalue().to_pybytes(), "path": None})
        table = pa.table({"image": images, "label": [i % 2 for i in range(count)]})
        pq.write_table(table, folder / f"{split}-0.parquet")


def artefacts_of(config: dict, folder: Path) -> Artefacts:
    """Return what a config asks for, with its data in a folder."""
    here = Path.cwd()
    try:
        os.chdir(folder)
        experiments = validate(config, "case.yaml")
        return resolve(experiments, "case.yaml", Path("results"), config["name"] if len(experiments) > 1 else None)[0]
    finally:
        os.chdir(here)


def write_tables(folder: Path) -> None:
    """Write the tables of a measured model, with a row each."""
    value = {"str": "test", "float64": 0.5, "int64": 1}
    tables = {name: pd.DataFrame({c: [value[kind]] for c, kind in columns.items()}) for name, columns in TABLES.items()}
    tables |= {"predictions": pd.DataFrame(), "projection": pd.DataFrame(), "similarity": pd.DataFrame()}
    for name, table in table_files(tables).items():
        write_table(folder / name, table)


def finish(artefacts: Artefacts, results: Path) -> None:
    """Do as the jobs would, without the work."""
    plans = list(build_plans(artefacts))
    write_plans(plans, results)
    for plan in plans:
        output = results / plan.output
        output.parent.mkdir(parents=True, exist_ok=True)
        for path in (output, *map(output.with_name, BESIDE.get(plan.stage, []))):
            path.write_text("{}")
        for directory in plan.directories:
            (results / directory).mkdir(parents=True, exist_ok=True)
        for _, path, spec, code in plan.code_records(results):
            write_json(path, {"spec": spec, "code": code, "sha256": {HISTORY: ""}, VALUES: {}})
            if plan.stage == "evaluations":
                write_tables(path.parent)
        record_key(output, plan.content)
    assert set(STAGES) >= {plan.stage for plan in plans}
    write_plans(plans, results)


def dry_runs(folder: Path, cases: list[dict]) -> list[dict]:
    """Return the answers of ``dry_runs.py`` for cases, in the folder of a project and with its library."""
    result = subprocess.run(
        [warm_python(), str(Path(__file__).with_name("dry_runs.py"))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "workflow")},
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
