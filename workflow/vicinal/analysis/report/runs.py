"""The tables of a report over all runs: one row a setting with mean and sd over seeds, one row a model."""

import re
from typing import Any

import pandas as pd

from vicinal.analysis.schema import VARIANT, plain_text
from vicinal.spec import more_weights

# Column, heading. A column that is empty for all runs is left out, and one of a single value unless it is in FIXED.
SETTINGS = (
    ("role", "Role"), ("model", "Model"), ("method", "Method"), ("teacher", "Teacher"), ("temperature", "T"),
    ("alpha", "α"), ("logit_scale", "Logit scale"), ("teacher_mixup_alpha", "Teacher's α"),
    ("kd_weight", "KD weight"), ("ce_weight", "CE weight"),
)  # fmt: skip
RANKS = {"role": ("teacher", "student"), "method": ("ce", "ce_mixup", "kd", "kd_mixup")}
FIXED = ("role", "model", "method", "teacher", "temperature")
OF_DISTILLED = {"logit_scale", "kd_weight", "ce_weight"}  # compared among models with a teacher only
# Metric, heading, factor, format.
METRICS = (
    ("accuracy", "Accuracy, %", 100, ".2f"), ("nll", "NLL", 1, ".3f"), ("ece", "ECE", 1, ".4f"),
    ("classwise_ece", "Classwise ECE", 1, ".4f"), ("oe", "OE", 1, ".4f"),
    ("confidence_gap", "Confidence gap", 1, ".4f"), ("auroc", "AUROC, errors", 1, ".3f"),
    ("aurc", "AURC", 1, ".4f"), ("entropy", "Entropy, nats", 1, ".3f"), ("agreement", "Agreement", 1, ".3f"),
)  # fmt: skip
OOD = {"ood_auroc_": "AUROC, {} apart", "ood_fpr95_": "FPR at 95 %, {} apart"}  # beginning of a metric, heading


def runs_context(metrics: pd.DataFrame) -> dict[str, Any]:
    """Return the tables over runs on the test split.

    Returns:
        ``settings`` and ``metrics``: headings. ``runs``: one row a model (``id``, ``seed``, ``settings``, ``values``).
        ``ood``: whether other data were told apart.
        ``summary``: one row a setting (``settings``, ``n``, ``means``, ``sds``). Numbers are in the unit of the
        heading, NaN if there is none; every list is in the order of the headings. ``recipe``: the settings of data and
        recipe with their values.
    """
    table = plain_text(metrics)
    test = table[table["split"].eq("test")]
    settings = _shown_settings(test)
    there = set(test["metric"])
    shown = [entry for entry in METRICS if entry[0] in there]
    others = [
        (name, heading.format(name.removeprefix(start)), 1, ".3f")
        for start, heading in OOD.items()
        for name in sorted(there)
        if name.startswith(start)
    ]
    shown += others
    wide = test.pivot_table(index="model_id", columns="metric", values="value", aggfunc="first", observed=True)
    values = {metric: wide[metric] * factor for metric, _, factor, _ in shown}
    runs = []
    for id_, row in test.drop_duplicates("model_id").set_index("model_id").iterrows():
        seed = "all" if pd.isna(row["seed"]) else int(row["seed"])  # a given teacher is one for all seeds
        own = [_text(row[name]) for name in settings]
        runs.append({"id": id_, "seed": seed, "settings": own, "values": [column[id_] for column in values.values()]})
    runs.sort(key=lambda run: [*map(_order, settings, run["settings"]), _order("", str(run["seed"]))])
    return {
        "settings": list(settings.values()),
        "metrics": [{"heading": heading, "format": form} for _, heading, _, form in shown],
        "runs": runs,
        "summary": _summary(runs),
        "recipe": _recipe(table),
        "ood": bool(others),
    }


def _order(name: str, text: str) -> tuple:
    """Return the sort key of a setting: teachers first, methods as in the paper, numbers by value."""
    if name in RANKS and text in RANKS[name]:
        return (0, RANKS[name].index(text), ())
    parts = re.split(r"(\d+(?:\.\d+)?)", text)  # every second part is a number: resnet8 comes before resnet14
    return (1, 0, tuple((float(part) if i % 2 else 0.0, part) for i, part in enumerate(parts)))


def _shown_settings(test: pd.DataFrame) -> dict[str, str]:
    """Return column → heading of the settings to show."""
    more = {name: f"{name.removesuffix('_weight').upper()} weight" for name in more_weights(test)}
    shown = {}
    for name, heading in {**dict(SETTINGS), **more}.items():
        if name not in test or test[name].isna().all():
            continue
        compared = test[test["teacher"].notna()] if name in OF_DISTILLED.union(more) else test
        if name in FIXED or compared[name].nunique() > 1:
            shown[name] = heading
    return shown


def _summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple, list[list[float]]] = {}
    for run in runs:
        groups.setdefault(tuple(run["settings"]), []).append(run["values"])
    tables = {settings: pd.DataFrame(values) for settings, values in groups.items()}
    return [
        {"settings": list(settings), "n": len(table), "means": table.mean().tolist(), "sds": table.std().tolist()}
        for settings, table in tables.items()
    ]


def _recipe(table: pd.DataFrame) -> list[tuple[str, str]]:
    found = []
    for name in (name for name in table if name.startswith(VARIANT)):
        values = sorted({_text(value) for value in table[name].unique()} - {""})
        if values:
            found.append((name.replace("_", ": ", 1).replace("_", " "), ", ".join(values)))
    return found


def _text(value: Any) -> str:
    """Return a setting as text, empty if there is none."""
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
