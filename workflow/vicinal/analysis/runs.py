"""The tables over all runs for report and paper: one row a setting with mean and sd over seeds, one row a model."""

import re
from typing import Any

import pandas as pd

from vicinal.analysis.schema import METHOD_NAMES, TEACHER, VARIANT, plain_text
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
# Metric, heading, factor, format, whether a table is wide enough for it before one asks for all columns. In ``BEST``:
# which end of it is the better one.
METRICS = (
    ("accuracy", "Accuracy, %", 100, ".2f", True), ("nll", "NLL", 1, ".3f", True), ("ece", "ECE, %", 100, ".2f", True),
    ("oe", "OE, %", 100, ".2f", True), ("confidence_gap", "Confidence gap, pp", 100, ".2f", False),
    ("classwise_ece", "Classwise ECE, %", 100, ".2f", False), ("auroc", "AUROC, errors", 1, ".3f", False),
    ("aurc", "AURC", 1, ".4f", False), ("entropy", "Entropy, nats", 1, ".3f", False),
    ("agreement", "Agreement", 1, ".3f", True),
)  # fmt: skip
BEST = dict.fromkeys(("accuracy", "agreement", "auroc"), max) | dict.fromkeys(
    ("nll", "ece", "classwise_ece", "oe", "aurc"), min
)
OOD = {"ood_auroc_": "AUROC, {} apart", "ood_fpr95_": "FPR at 95 %, {} apart"}  # beginning of a metric, heading


def runs_context(metrics: pd.DataFrame) -> dict[str, Any]:
    """Return the tables over runs on the test split.

    Returns:
        ``settings``: heading by column; ``metrics``: ``heading``, ``format``, whether it is a ``main`` one, and
        ``best``: max, min or None.
        ``runs``: one row a model (``id``, ``name``, ``seed``, ``settings``, ``values``). ``ood``: whether other data
        were told apart. ``summary``: one row a setting (``name``, ``settings``, ``n``, ``means``, ``sds``). A ``name``
        describes the setting. Numbers are in the unit of the heading, NaN if there is none; every list is in the
        order of the headings. ``recipe``: the settings of data and recipe with their values.
    """
    table = plain_text(metrics)
    test = table[table["split"].eq("test")]
    settings = _shown_settings(test)
    there = set(test["metric"])
    shown = [entry for entry in METRICS if entry[0] in there]
    others = [
        (name, heading.format(name.removeprefix(start)), 1, ".3f", "auroc" in start)
        for start, heading in OOD.items()
        for name in sorted(there)
        if name.startswith(start)
    ]
    shown += others
    wide = test.pivot_table(index="model_id", columns="metric", values="value", aggfunc="first", observed=True)
    values = {metric: wide[metric] * factor for metric, _, factor, *_ in shown}
    runs = []
    for id_, row in test.drop_duplicates("model_id").set_index("model_id").iterrows():
        seed = "all" if pd.isna(row["seed"]) else int(row["seed"])  # a given teacher is one for all seeds
        own = [_text(row[name]) for name in settings]
        runs.append(
            {
                "id": id_,
                "name": _name(dict(zip(settings, own, strict=True)), settings),
                "seed": seed,
                "settings": own,
                "values": [column[id_] for column in values.values()],
            }
        )
    runs.sort(key=lambda run: [*map(_order, settings, run["settings"]), _order("", str(run["seed"]))])
    return {
        "settings": settings,
        "metrics": [
            {"heading": heading, "format": form, "main": main, "best": BEST.get(name)}
            for name, heading, _, form, main in shown
        ],
        "runs": runs,
        "summary": _summary(runs),
        "recipe": _recipe(table),
        "ood": bool(others),
    }


def _name(own: dict[str, str], headings: dict[str, str]) -> str:
    """Return a run's settings as text: ``resnet14 → resnet8, KD + mixup, T = 2``."""
    method = METHOD_NAMES.get(own["method"], own["method"])
    if own["role"] == TEACHER:
        method = "teacher" if own["method"] == "ce" else f"teacher, {method}"
    parts = [" → ".join(filter(None, (own.get("teacher"), own["model"]))), method]
    for column, text in own.items():
        if text and column not in ("role", "model", "method", "teacher") and (column, text) != ("logit_scale", "1"):
            heading = headings[column]
            parts.append(f"{heading if heading.isupper() else heading[0].lower() + heading[1:]} = {text}")
    return ", ".join(parts)


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
        groups.setdefault((run["name"], *run["settings"]), []).append(run["values"])
    found = []
    for (name, *settings), values in groups.items():
        table = pd.DataFrame(values)
        own = {"means": table.mean().tolist(), "sds": table.std().tolist()}
        found.append({"name": name, "settings": settings, "n": len(table), **own})
    return found


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
