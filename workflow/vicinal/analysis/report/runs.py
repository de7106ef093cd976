"""The tables of a report over all runs: one row a setting with mean and sd over seeds, one row a model."""

import math
import re
from typing import Any

import pandas as pd

from vicinal.spec import more_weights

# Column, heading. A column that is empty for all runs, or the same for all and none of FIXED, is left out.
SETTINGS = (
    ("role", "Role"), ("model", "Model"), ("method", "Method"), ("teacher", "Teacher"), ("temperature", "T"),
    ("alpha", "α"), ("logit_scale", "Logit scale"), ("teacher_mixup_alpha", "Teacher's α"),
    ("kd_weight", "KD weight"), ("ce_weight", "CE weight"),
)  # fmt: skip
RANKS = {"role": ("teacher", "student"), "method": ("ce", "ce_mixup", "kd", "kd_mixup")}
FIXED = ("role", "model", "method", "teacher", "temperature")
OF_DISTILLED = {"logit_scale", "kd_weight", "ce_weight"}  # not compared with those of models without a teacher
# Metric, heading, factor, format.
METRICS = (
    ("accuracy", "Accuracy, %", 100, ".2f"), ("nll", "NLL", 1, ".3f"), ("ece", "ECE", 1, ".4f"), ("oe", "OE", 1, ".4f"),
    ("confidence_gap", "Confidence gap", 1, ".4f"), ("entropy", "Entropy, nats", 1, ".3f"),
    ("agreement", "Agreement", 1, ".3f"),
)  # fmt: skip


def runs_context(metrics: pd.DataFrame) -> dict[str, Any]:
    """Return the tables over runs on the test split.

    Returns:
        ``settings`` and ``metrics``: headings. ``runs``: one row a model (``id``, ``seed``, ``settings``, ``values``).
        ``summary``: one row a setting (``settings``, ``n``, ``means``, ``sds``). Numbers are in the unit of the
        heading, None where there is none; every list is in the order of the headings. ``recipe``: the settings
        of data and recipe with the values that they have.
    """
    table = metrics.astype({name: object for name in metrics if isinstance(metrics[name].dtype, pd.CategoricalDtype)})
    test = table[table["split"].eq("test")]
    settings = _shown_settings(test)
    shown = [entry for entry in METRICS if entry[0] in set(test["metric"])]
    names = [name for name, _ in settings]
    wide = test.pivot_table(index="model_id", columns="metric", values="value", aggfunc="first", observed=True)
    models = test.drop_duplicates("model_id").set_index("model_id")
    runs = []
    for id_, row in models.iterrows():
        values = [_value(wide.at[id_, metric], factor) for metric, _, factor, _ in shown]
        seed = "all" if pd.isna(row["seed"]) else int(row["seed"])  # a given teacher is one for all seeds
        runs.append({"id": id_, "seed": seed, "settings": [_text(row[n]) for n in names], "values": values})
    runs.sort(
        key=lambda run: [*(_order(*e) for e in zip(names, run["settings"], strict=True)), _order("", str(run["seed"]))]
    )
    return {
        "settings": [heading for _, heading in settings],
        "metrics": [{"heading": heading, "format": form} for _, heading, _, form in shown],
        "runs": runs,
        "summary": _summary(runs),
        "recipe": _recipe(table),
    }


def _order(name: str, text: str) -> tuple:
    """Return the sort key of a setting: teachers first, methods as in the paper, numbers by value."""
    if name in RANKS and text in RANKS[name]:
        return (0, RANKS[name].index(text), ())
    parts = re.split(r"(\d+(?:\.\d+)?)", text)  # odd places are numbers: resnet8 comes before resnet14
    return (1, 0, tuple((float(part) if i % 2 else 0.0, part) for i, part in enumerate(parts)))


def _shown_settings(test: pd.DataFrame) -> list[tuple[str, str]]:
    weights = more_weights(test)
    shown = []
    for name, heading in (*SETTINGS, *((w, f"{w.removesuffix('_weight').upper()} weight") for w in weights)):
        if name not in test or test[name].isna().all():
            continue
        compared = test[test["teacher"].notna()] if name in OF_DISTILLED.union(weights) else test
        if name in FIXED or compared[name].dropna().nunique() > 1:
            shown.append((name, heading))
    return shown


def _summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(tuple(run["settings"]), []).append(run)
    return [
        {
            "settings": list(settings),
            "n": len(members),
            "means": [_mean(column) for column in zip(*(member["values"] for member in members), strict=True)],
            "sds": [_sd(column) for column in zip(*(member["values"] for member in members), strict=True)],
        }
        for settings, members in groups.items()
    ]


def _recipe(table: pd.DataFrame) -> list[tuple[str, str]]:
    names = [name for name in table if name.startswith(("data_", "recipe_"))]
    found = []
    for name in names:
        values = sorted({_text(value) for value in table[name].drop_duplicates()} - {""})
        if values:
            found.append((name.replace("_", ": ", 1).replace("_", " "), ", ".join(values)))
    return found


def _mean(values: tuple) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sd(values: tuple) -> float | None:
    known = [value for value in values if value is not None]
    return float(pd.Series(known).std()) if len(known) > 1 else None


def _value(value: Any, factor: float) -> float | None:
    return None if pd.isna(value) or not math.isfinite(value) else float(value) * factor


def _text(value: Any) -> str:
    """Return a setting as text; nothing where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
