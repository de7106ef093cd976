"""What differs between the results of two experiments: settings, models, metrics paired by seed, verdicts."""

from pathlib import Path
from typing import Any

import pandas as pd

from vicinal.analysis.claims.report import scorecard
from vicinal.analysis.claims.statistics import summary, t_interval
from vicinal.analysis.schema import METHOD_NAMES, VARIANT, plain_text, read_tidy
from vicinal.errors import VicinalError
from vicinal.files import read_table
from vicinal.spec import more_weights

# What tells the models of a seed apart; a setting in which all models of an experiment agree does not.
MODELS = ("role", "model", "method", "teacher", "temperature", "alpha", "teacher_mixup_alpha", "logit_scale")
# Metrics in percent; those of the calibration with scaled logits have a suffix. Their differences are in points.
SHARES = ("accuracy", "ece", "ace", "classwise_ece", "oe", "confidence_gap", "mean_confidence", "agreement")


def compare(first: Path, second: Path) -> dict[str, Any]:
    """Return what differs between the tables in two folders.

    Returns:
        ``settings``: those whose values differ, ``{setting, role, first, second}`` (text).
        ``models``: numbers of models that are the same in ``both``, and ids of ``only_first`` and ``only_second``.
        ``metrics``: those that differ on the test split, one row a model (over the seeds that both have) and metric:
        ``{model, metric, unit, n, first, second (means), difference (second − first), low, high}``, the last two a
        paired-t 95 % interval, None with one seed. ``equal``: how many are the same at every seed.
        ``verdicts``: ``{claim, first, second, first_effect, second_effect}``.

    Raises:
        VicinalError: a folder lacks metrics.parquet or claims.parquet, or these are not what they should be.
    """
    tables = [plain_text(read_tidy(folder / "metrics.parquet")) for folder in (first, second)]
    ids = [set(table["model_id"]) for table in tables]
    metrics, equal = _metrics(*tables)
    return {
        "settings": _settings(*tables),
        "models": {
            "both": len(ids[0] & ids[1]),
            "only_first": sorted(ids[0] - ids[1]),
            "only_second": sorted(ids[1] - ids[0]),
        },
        "metrics": metrics,
        "equal": equal,
        "verdicts": _verdicts(first, second),
    }


def _settings(first: pd.DataFrame, second: pd.DataFrame) -> list[dict[str, str]]:
    found = []
    for setting in dict.fromkeys([*first, *second]):
        if setting in ("model_id", "teacher_id", "role", "split", "metric", "value"):
            continue
        for role in ("teacher", "student"):
            texts = [_values(table.loc[table["role"] == role], setting) for table in (first, second)]
            if texts[0] != texts[1]:
                found.append({"setting": setting, "role": role, "first": texts[0], "second": texts[1]})
    return found


def _values(table: pd.DataFrame, setting: str) -> str:
    """Return the different values of a setting as text: numbers by size, then words."""
    values = table[setting].dropna().unique() if setting in table else []
    texts = {f"{value:g}" if isinstance(value, float) else str(value) for value in values}
    numbers = {text: pd.to_numeric(text, errors="coerce") for text in texts}
    ordered = sorted(
        texts, key=lambda text: (pd.isna(numbers[text]), 0 if pd.isna(numbers[text]) else numbers[text], text)
    )
    return ", ".join(ordered) or "–"


def _metrics(first: pd.DataFrame, second: pd.DataFrame) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of metrics that differ, and how many do not."""
    more = [c for c in first if c in second and (c in more_weights(first) or str(c).startswith(VARIANT))]
    keys = [*MODELS, "kd_weight", "ce_weight", *(c for c in more if c not in ("kd_weight", "ce_weight"))]
    varying = [key for key in keys if key in MODELS or _varies(first, key) or _varies(second, key)]
    values = [_by_model(table, varying) for table in (first, second)]
    both = values[0].merge(values[1], on=[*varying, "metric", "seed"], suffixes=("_first", "_second"))
    found, equal = [], 0
    for key, rows in both.groupby([*varying, "metric"], sort=False, dropna=False):
        setting = dict(zip([*varying, "metric"], key, strict=True))
        change = (rows["value_second"] - rows["value_first"]).to_numpy()
        if not change.any():
            equal += 1
            continue
        unit, scale = ("%", 100.0) if str(setting["metric"]).startswith(SHARES) else ("", 1.0)
        low, high = (
            (bound[0] for bound in t_interval(*summary(scale * change[:, None]))) if len(change) > 1 else (None,) * 2
        )
        found.append({
            "model": _label(setting), "metric": setting["metric"], "unit": unit, "n": len(change),
            "first": scale * float(rows["value_first"].mean()), "second": scale * float(rows["value_second"].mean()),
            "difference": scale * float(change.mean()), "low": low, "high": high,
        })  # fmt: skip
    return found, equal


def _varies(table: pd.DataFrame, key: str) -> bool:
    """Return whether models of one role and method differ in a setting."""
    return bool((table.groupby(["role", "method"])[key].nunique(dropna=False) > 1).any())


def _by_model(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return value by model, metric and seed on the test split; what does not apply to a model is an empty text.

    Raises:
        VicinalError: two models of a seed cannot be told apart.
    """
    rows = table.loc[table["split"] == "test", [*keys, "metric", "seed", "value"]].copy()
    rows[keys] = rows[keys].astype(object).where(rows[keys].notna(), "")
    rows["seed"] = rows["seed"].fillna(-1)  # a given teacher is one for all seeds
    if rows.duplicated([*keys, "metric", "seed"]).any():
        raise VicinalError("metrics.parquet: models of one seed that its settings do not tell apart cannot be compared")
    return rows


def _label(setting: dict[str, Any]) -> str:
    """Return a model as text: ``KD + mixup, resnet8 → resnet8_narrow, T = 2``."""
    model = f"{setting['teacher']} → {setting['model']}" if setting["teacher"] else setting["model"]
    method = "Teacher" if setting["role"] == "teacher" else METHOD_NAMES.get(setting["method"], setting["method"])
    names = {"temperature": "T", "alpha": "α", "teacher_mixup_alpha": "teacher's α", "logit_scale": "logit scale"}
    parts = [method, model]
    for name, value in setting.items():
        is_one = name in ("alpha", "logit_scale") and value == 1
        if name not in ("role", "model", "method", "teacher", "metric") and value != "" and not is_one:
            parts.append(f"{names.get(name, name)} = {f'{value:g}' if isinstance(value, float) else value}")
    return ", ".join(parts)


def _verdicts(first: Path, second: Path) -> list[dict[str, str]]:
    sides: dict[str, dict[str, dict[str, str]]] = {}
    for side, folder in (("first", first), ("second", second)):
        try:
            sides[side] = {line["claim"]: line for line in scorecard(read_table(folder / "claims.parquet"))}
        except VicinalError as error:
            raise VicinalError(f"{folder}: {error}") from None
    none = {"verdict": "–", "effect": "–"}
    rows = []
    for claim in dict.fromkeys([*sides["first"], *sides["second"]]):
        lines = {side: of_side.get(claim, none) for side, of_side in sides.items()}
        verdicts = {side: line["verdict"] for side, line in lines.items()}
        rows.append({"claim": claim, **verdicts, **{f"{side}_effect": line["effect"] for side, line in lines.items()}})
    return rows
