#!/usr/bin/env python
"""Claims, all figures and the report of a large experiment: does a laptop make them in a minute and 2 GB?

The models are those of experiments/cifar100.yaml with more seeds, at least 500; the tables are all that aggregate
writes, with made-up values. Each step runs in a process of its own, one after the other, as the rules run them. Judged
are the CPU seconds of all steps together, which a busy machine does not stretch (they are what one core would need),
and twice the largest peak memory, since two steps may run at a time. Exits with 1 where a limit is passed or a claim
lacks runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from vicinal.analysis.claims.files import verdicts_of, write_claims
from vicinal.analysis.figures import FIGURES
from vicinal.analysis.figures.files import write_figure
from vicinal.analysis.report import read_inputs
from vicinal.analysis.report.files import write_report
from vicinal.analysis.tables import OF_MODELS, SOFTMAX_TEMPERATURE, model_table, summarise
from vicinal.config import read_config, validate
from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES
from vicinal.files import write_json
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint
from vicinal.jobs.provenance import Stopwatch, peak_memory
from vicinal.planning.grid import expand

SECONDS, MEMORY = 60.0, 2e9  # the limits
SEEDS = 7  # 76 models a seed
CLASSES, SUPERCLASSES = 100, 20
EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "cifar100.yaml"

CLEAN = (
    "accuracy", "nll", "brier", "ece", "ace", "classwise_ece", "oe", "confidence_gap", "mean_confidence", "entropy",
    "auroc", "aurc", "temperature_posthoc", "ece_posthoc", "agreement", "kl_teacher", "nc1", "cka_teacher",
    "parameters",
)  # fmt: skip
SCALED = ("confidence_gap_c0.5", "confidence_gap_c0.75", "confidence_gap_c1.5", "confidence_gap_c2")
VICINAL = (
    "nonlinearity", "jsd", "miss_rate", "entropy_clean", "entropy_mixed", "entropy_linear", "source_mass_mixed",
    "source_mass_linear", "confidence_mixed", "nonlinearity_matched", "agreement", "kl_teacher",
)  # fmt: skip
OF_ALL_PAIRS = ("imitation_weight", "nc1", "cka_teacher")
CONFUSION = (
    "entropy_clean", "entropy_mixed", "entropy_linear", "entropy_increase", "entropy_excess", "source_mass_clean",
    "source_mass_mixed", "explained_share", "explained_share_logits",
)  # fmt: skip
SIMILARITY = ("spearman_mixed_clean", "mantel_p_mixed_clean", "spearman_mixed_linear", "mantel_p_mixed_linear")
SPREAD = (
    "entropy_clean", "entropy_mixed", "entropy_linear", "own_mass_clean", "source_mass_mixed", "source_mass_linear",
)  # fmt: skip
LAM = [(0.0, 1.0), *((b / 20, (b + 1) / 20) for b in range(20)), (0.45, 0.55)]


def models_of(seeds: int) -> tuple[pd.DataFrame, dict]:
    """Return the table of the models, and the spec of the experiment as the tables' record has it."""
    settings = [f"seeds={list(range(seeds))}"]
    [experiment] = validate(read_config(EXPERIMENT), EXPERIMENT.name, settings)
    [study] = expand([(experiment, {"source": "torchvision", "files": {}})]).studies.values()
    models = {id_: {"evaluation": evaluation, **columns} for id_, (evaluation, columns) in study.models.items()}
    return model_table(models), {"name": study.experiment.name, "models": models}


def rows_of(models: pd.DataFrame, rng: np.random.Generator, **axes: list) -> pd.DataFrame:
    """Return one row for each model and combination of ``axes``, with a random value in (0, 1)."""
    grid = pd.MultiIndex.from_product(axes.values(), names=axes).to_frame(index=False)
    table = models.loc[models.index.repeat(len(grid))].reset_index(drop=True)
    tiled = pd.concat([grid] * len(models), ignore_index=True)
    return pd.concat([table, tiled, pd.Series(rng.uniform(size=len(table)), name="value")], axis=1)


def tables_of(models: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return all tables that aggregate writes, with made-up values."""
    rng = np.random.default_rng(seed)
    known, teachers = models[OF_MODELS], models[models["role"] == "teacher"]
    metrics = pd.concat(
        [
            rows_of(models, rng, split=["validation", "test"], metric=list(CLEAN)),
            rows_of(teachers, rng, split=["test"], metric=list(SCALED)),
        ],
        ignore_index=True,
    )
    level = metrics["method"].map({"ce": 0.2, "ce_mixup": 0.1, "kd": 0.15, "kd_mixup": 0.01}).astype(float)
    metrics["value"] = level * (0.8 + 0.4 * metrics["value"])
    accurate = metrics["metric"] == "accuracy"
    metrics.loc[accurate, "value"] = 0.75 - metrics.loc[accurate, "value"]
    vicinal = rows_of(
        known,
        rng,
        split=["train", "test"],
        pairs=["all", "same", "different"],
        lam=range(len(LAM)),
        metric=list(VICINAL),
    )
    whole = rows_of(known, rng, split=["test"], pairs=["all"], lam=[0], metric=list(OF_ALL_PAIRS))
    vicinal = pd.concat([vicinal, whole], ignore_index=True)
    low, high = np.array(LAM)[vicinal.pop("lam")].T
    vicinal = vicinal.assign(lam_low=low, lam_high=high, count=1280)
    confusion = pd.concat(
        [
            rows_of(known, rng, split=["train", "test"], at=[1.0, 2, 4, 8, 16], metric=list(CONFUSION)),
            rows_of(known, rng, split=["test"], at=[2.0], metric=list(SIMILARITY)),
        ],
        ignore_index=True,
    ).rename(columns={"at": SOFTMAX_TEMPERATURE})
    spread = rows_of(
        teachers[OF_MODELS],
        rng,
        split=["train", "test"],
        lam=range(len(LAM) - 1),
        metric=list(SPREAD),
        quantile=[0.05, 0.25, 0.5, 0.75, 0.95],
    )
    low, high = np.array(LAM)[spread.pop("lam")].T
    spread = spread.assign(lam_low=low, lam_high=high, count=1150)
    edges = np.arange(16) / 15
    reliability = rows_of(known, rng, low=list(edges[:-1]))
    reliability = reliability.assign(
        high=reliability["low"] + 1 / 15, count=rng.integers(1, 2000, len(reliability)),
        confidence=reliability["low"] + 0.03, accuracy=reliability.pop("value"),
    )  # fmt: skip
    history = rows_of(known, rng, epoch=range(1, 241))
    history = history.assign(
        lr=0.05, seconds=1.0, loss=np.exp(-history["epoch"] / 100) * (1 + history["value"]),
        validation_accuracy=history.pop("value").where(history["epoch"] % 10 == 0),
    )  # fmt: skip
    similarity = rows_of(
        teachers[["model_id"]], rng, kind=["clean", "mixed", "linear"], row=range(CLASSES), column=range(CLASSES)
    )
    similarity = similarity[similarity["row"] != similarity["column"]]
    similarity = similarity.astype({"row": "int16", "column": "int16", "value": "float32"})
    corruptions = rows_of(
        known, rng, corruption=list(NAMES), severity=list(SEVERITIES), metric=["accuracy", "ece", "oe"]
    ).assign(count=10_000)
    labels = np.arange(CLASSES, dtype=np.int16)
    superclass = pd.array(labels % SUPERCLASSES, dtype="Int16")
    classes = pd.DataFrame({"label": labels, "name": [f"class {i}" for i in labels], "superclass": superclass})
    points = rows_of(known[["model_id"]], rng, kind=["mean", "clean", "mixed"], point=range(300))
    points = points[(points["kind"] != "mean") | (points["point"] < 3)].rename(columns={"value": "x"})
    points = points.assign(label=points["point"] % 3, other=(points["point"] + 1) % 3, lam=0.5, y=points["x"] ** 2)
    tables = {
        "metrics": metrics, "vicinal": vicinal, "confusion": confusion, "reliability": reliability, "history": history,
        "spread": spread, "similarity": similarity, "projection": points, "corruptions": corruptions,
    }  # fmt: skip
    for name, table in tables.items():
        texts = [column for column in table if table[column].dtype == object or table[column].dtype == "str"]
        texts += [column for column in table if isinstance(table[column].dtype, pd.StringDtype)]
        tables[name] = table.astype(dict.fromkeys(texts, "category"))
    return {**tables, "classes": classes, "summary": summarise(tables["metrics"])}


def step(name: str, folder: Path) -> None:
    """Do one step with the functions that the scripts call; fail where a claim lacks runs."""
    watch = Stopwatch()
    if name == "claims":
        verdicts = verdicts_of(write_claims(folder, folder / "claims.parquet", {}, stage_fingerprint("claims"), watch))
        lacking = [f"{row.claim} {row.reason}" for row in verdicts.itertuples() if "needs: " in row.reason]
        if lacking:
            sys.exit("\n".join(lacking))
    elif name == "report":
        code = stage_fingerprint("reports")
        write_report(read_inputs(folder), folder / "report.html", {}, code, watch)
    else:
        code = stage_fingerprint("figures", named_modules({"figures": FIGURES}))
        write_figure(name, folder, folder / "figures" / f"{name}.pdf", {}, code, watch)


def measured(name: str, folder: Path) -> tuple[bool, float, float, int]:
    """Run a step in a process of its own; return whether it went well, wall and CPU seconds, peak memory in bytes."""
    start, before = time.perf_counter(), os.times()
    command = [sys.executable, __file__, "--folder", str(folder), "--step", name]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return said.returncode == 0, wall, cpu, int(said.stdout or 0)


def run(folder: Path, seeds: int) -> int:
    """Make the tables, run all steps, print what each takes; return the exit status."""
    models, spec = models_of(seeds)
    for name, table in tables_of(models).items():
        table.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")
    write_json(folder / "provenance.json", {"spec": {"name": spec["name"]}})
    size = sum(path.stat().st_size for path in folder.glob("*.parquet")) / 1e6
    print(
        f"{len(models)} models, {size:.0f} MB of tables\n{'step':16}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}", flush=True
    )
    ok, walls, cpus, peaks = True, 0.0, 0.0, 0
    for name in ("claims", *FIGURES, "report"):
        well, wall, cpu, peak = measured(name, folder)
        ok, walls, cpus, peaks = ok and well, walls + wall, cpus + cpu, max(peaks, peak)
        print(f"{name:16}{wall:8.1f}{cpu:8.1f}{peak / 1e6:9.0f}{'' if well else '  failed'}", flush=True)
    ok = ok and cpus <= SECONDS and 2 * peaks <= MEMORY
    print(f"{'all':16}{walls:8.1f}{cpus:8.1f}{peaks / 1e6:9.0f}")
    print(f"limits: {SECONDS:.0f} CPU s for all, {MEMORY / 2e6:.0f} MB for each: {'kept' if ok else 'NOT kept'}")
    return 0 if ok else 1


def main() -> int:
    """Run the benchmark, or one step of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds of the experiment, 76 models each")
    parser.add_argument("--folder", type=Path, help="keep tables and pages here (default: a temporary folder)")
    parser.add_argument("--step", help="only this step, on the tables in the folder")
    args = parser.parse_args()
    if args.step:
        step(args.step, args.folder)
        print(peak_memory())
        return 0
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        return run(args.folder, args.seeds)
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), args.seeds)


if __name__ == "__main__":
    sys.exit(main())
