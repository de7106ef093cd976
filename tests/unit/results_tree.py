"""A small results folder without any training: records, checksums and keys as the jobs leave them."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from configs import default

from vicinal.data.catalogue import resolve_source
from vicinal.data.corruptions.catalogue import CorruptionArchive
from vicinal.data.prepare import prepare_data
from vicinal.evaluation.files import OF_TEACHERS, TABLES, table_files
from vicinal.evaluation.robustness import VALUES
from vicinal.files import sha256, write_json, write_table
from vicinal.jobs.plan import read_plan, record_key
from vicinal.jobs.records import measurement_spec
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.files import write_plans
from vicinal.planning.grid import expand
from vicinal.planning.plans import Plan, build_plans
from vicinal.training.history import history_table

ROOT = Path(__file__).resolve().parents[2]
GRID = "[{teachers: [resnet8], students: [resnet8_narrow], methods: [ce, kd_mixup], temperatures: [1, 2]}]"
# As if corrupted digits were published.
DIGITS_C = CorruptionArchive("digits-C.tar", "digits-C", "0" * 32, 3_000_000, "https://127.0.0.1:9/digits-C.tar")
MADE = {"packages": {"numpy": "2.0", "torch": "2.14"}, "python": "3.12", "device": "cpu", "cpu": "A", "git": "abc"}


def artefacts(*overrides: str) -> Artefacts:
    """Return what a small experiment asks for: a teacher and three students."""
    return expand([(default("seeds=[0]", f"grids={GRID}", *overrides), resolve_source("digits", "data"))])


def make_tree(results: Path, *overrides: str) -> list[Plan]:
    """Write everything up to the evaluations, as if the jobs had run; return the plans of these."""
    plans = [plan for plan in build_plans(artefacts(*overrides)) if plan.stage in MADE_BY]
    write_plans(plans, results)
    for plan in plans:
        if not (results / plan.output).exists():
            (results / plan.output).parent.mkdir(parents=True, exist_ok=True)
            MADE_BY[plan.stage](results, plan)
            record_key(results / plan.output, plan.content)
    return plans


def configure(grid: str = GRID, *settings: str, path: str | Path = "config.yaml") -> None:
    """Write the config of the small experiment, with another grid or other settings, into a file."""
    config = default("name=digits", "seeds=[0]", f"grids={grid}", *settings)
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(yaml.safe_dump(config.model_dump(mode="json")))


def edit(path: Path, **fields) -> None:
    """Change fields of a record."""
    write_json(path, {**json.loads(path.read_text()), **fields})


def finish(results: Path, plan: Plan) -> None:
    """Leave of a job what later plans look at: its output, the key of that, and its folders."""
    output = results / plan.output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("{}")
    record_key(output, read_plan(results / plan.path, plan.stage))
    for directory in plan.directories:
        (results / directory).mkdir(parents=True, exist_ok=True)


def write_weights(path: Path, seed: int) -> None:
    """Write one tensor as a safetensors file, by its format alone."""
    data = np.random.default_rng(seed).normal(size=4).astype("<f4").tobytes()
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def _store(results: Path, plan: Plan) -> None:
    folder = (results / plan.output).parent
    store = prepare_data(plan.content["spec"], "data", folder, code=plan.content["code"])
    write_json(folder / "data.json", store.meta)
    made = json.loads((folder / "provenance.json").read_text())
    write_json(folder / "provenance.json", {**made, "provenance": MADE})


def _data_sum(results: Path) -> str:
    [path] = results.glob("data/*/meta.json")
    return json.loads(path.read_text())["sha256"]


def _model(folder: Path, record: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / "weights.safetensors", zlib.crc32(record["id"].encode()))
    write_table(folder / "history.parquet", history_table([{"epoch": 1, "lr": 0.1, "loss": 1.0}]))
    sums = {name: sha256(folder / name) for name in ("weights.safetensors", "history.parquet")}
    write_json(folder / "model.json", {**record, "sha256": sums, "provenance": MADE})
    return sums["weights.safetensors"]


def _teacher(results: Path, plan: Plan) -> None:
    record = {
        "id": plan.id, "spec": plan.content["spec"], "code": plan.content["code"], "data_sha256": _data_sum(results),
    }  # fmt: skip
    weights = _model(results / plan.directories[0], record)
    write_json(results / plan.output, {"id": plan.id, "weights_sha256": weights, "data_sha256": record["data_sha256"]})


def _teacher_sum(results: Path, spec: dict) -> str | None:
    if not spec.get("teacher") and spec["stage"] == "student":
        return None
    [path] = results.glob("teachers/*/teacher.json")
    return json.loads(path.read_text())["weights_sha256"]


def _cohort(results: Path, plan: Plan) -> None:
    shared = {"data_sha256": _data_sum(results), "teacher_sha256": _teacher_sum(results, plan.content["spec"])}
    students = {}
    for id_, student in plan.content["students"].items():
        spec = {**plan.content["spec"], **student["own"]}
        record = {"id": id_, "spec": spec, "code": student["code"], **shared}
        path = results / "students" / id_
        kept = path / "model.json"
        students[id_] = (
            json.loads(kept.read_text())["sha256"]["weights.safetensors"] if kept.exists() else _model(path, record)
        )
    write_json(results / plan.output, {"students": students, **shared})


def _corruptions(results: Path, plan: Plan) -> None:
    shared = {"name": plan.content["spec"]["name"], "data_sha256": _data_sum(results), "archive_state": None}
    write_json(results / plan.output, {**shared, "available": False, "reason": "none was made up"})


def made_up_tables(is_teacher: bool) -> dict[str, pd.DataFrame]:
    """Return the tables of a measured model by name, with a row each."""
    values = {"str": "test", "float64": 0.5, "int64": 4}
    tables = {
        name: pd.DataFrame({column: [values[kind]] for column, kind in columns.items()})
        for name, columns in TABLES.items()
        if is_teacher or name not in OF_TEACHERS
    }
    others = ("predictions", "projection", *(["similarity"] if is_teacher else []))
    return tables | {name: pd.DataFrame({"value": [0.5]}) for name in others}


def _evaluation(results: Path, plan: Plan) -> None:
    models, robust = {}, plan.stage == "robustness"
    sum_of_teacher = _teacher_sum(results, {"stage": "student", **plan.content["spec"]})
    for id_, unit in [(id_, of) for of in plan.content["units"].values() for id_ in of["models"]]:
        is_teacher = unit["spec"]["stage"] == "teacher"
        place = results / "teachers" / id_ / "model" if is_teacher else results / "students" / id_
        trained = json.loads((place / "model.json").read_text())
        folder = results / plan.stage / plan.id / id_
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in {} if robust else table_files(made_up_tables(is_teacher)).items():
            write_table(folder / name, table)
        record = {
            "id": id_, "spec": measurement_spec(plan.content, unit), "code": unit["code"],
            "weights_sha256": trained["sha256"]["weights.safetensors"], "data_sha256": _data_sum(results),
            **({VALUES: {}, "images_measured": 0} if robust else {"teacher_sha256": sum_of_teacher}),
            "sha256": {path.name: sha256(path) for path in sorted(folder.glob("*.parquet"))},
            "provenance": MADE, "training": trained["provenance"],
        }  # fmt: skip
        write_json(folder / "evaluation.json", record)
        models[id_] = sha256(folder / "evaluation.json")
    write_json(results / plan.output, {"models": models})


# What is made of each stage, upstream ones first.
MADE_BY = {
    "data": _store,
    "corruptions": _corruptions,
    "teachers": _teacher,
    "cohorts": _cohort,
    "evaluations": _evaluation,
    "robustness": _evaluation,
}
