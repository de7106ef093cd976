"""Published numbers beside ours, for the same data set, models and method, with every known difference."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vicinal.analysis.claims.statistics import t_interval
from vicinal.analysis.protocols import ALONE, PROTOCOLS, known_differences, published_name, role_of, setting_of
from vicinal.analysis.schema import STD, STUDENT, plain_text
from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW

PUBLISHED = WORKFLOW / "reference" / "published.csv"
KEYS = ["dataset", "setting", "teacher", "student", "method", "temperature", "metric"]
COLUMNS = [*KEYS, "value", "unit", "source", "note"]
COMPARED = [
    "place", *KEYS, "unit", "published", "our_teacher", "our_model", "ours", "sd", "n", "low", "high", "difference",
    "within", "differs", "source", "note",
]  # fmt: skip
OUR_METRICS = {"ece15": "ece"}  # published name → ours, where they differ


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return the published numbers, one a row; a setting that does not apply is None, temperature is text.

    Raises:
        VicinalError: the file or a column is missing.
    """
    try:
        table = pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such file; it is part of the repository") from None
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise VicinalError(f"{path}: lacks the column {missing[0]}")
    table = table.astype(object).where(table.notna(), None)
    return table.assign(value=table["value"].astype(float))


def compare(metrics: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return the published numbers that have a counterpart among our runs, with it beside each.

    A counterpart has the same data set and setting (``PROTOCOLS``), networks and method. Its temperature is the
    published one, or else the nearest of ours; if the published one is not known all of ours are compared. Ours are
    means over seeds on the test split; teachers trained with mixup and scaled logits are left out. A published model
    trained alone on cross-entropy is compared with ours in the same role, or if we have none in the other role.

    Args:
        metrics: the tidy table of an experiment, one row a model × split × metric, values as fractions.
        published: see ``read_published``.

    Returns:
        Columns ``COMPARED``, in the published order; ``place`` is the row in the published table. Numbers are in
        ``unit``; ``difference`` is ours − published; ``low`` and ``high`` are mean ∓ t(0.975, n − 1)·sd/√n over our
        seeds, ``within`` says whether the published number lies between them; with one run these are NaN and None.
        ``differs`` is a tuple of sentences.
    """
    ours = _our_means(metrics, set(published["metric"].replace(OUR_METRICS)))
    rows = []
    for place, number in enumerate(published.to_dict("records")):
        rows += [{"place": place} | _row(number, own) for own in _counterparts(number, ours)]
    table = pd.DataFrame(rows, columns=COMPARED)
    texts = [*KEYS, "our_teacher", "source", "note"]
    return table.assign(**{name: table[name].astype(object).where(table[name].notna(), None) for name in texts})


def _our_means(metrics: pd.DataFrame, wanted: set[str]) -> list[dict[str, Any]]:
    """Return mean, sd and n over seeds of every setting and metric on the test split, with the published names."""
    table = plain_text(metrics[metrics["split"].eq("test") & metrics["metric"].isin(wanted)])
    table = table[
        table["data"].isin({name for protocol in PROTOCOLS.values() for name in protocol.train})
        & table["teacher_mixup_alpha"].isna()
        & (table["logit_scale"].isna() | table["logit_scale"].eq(1))
        & (table["role"].eq(STUDENT) | table["method"].eq("ce"))
    ]
    keys = [column for column in table if column not in ("model_id", "seed", "teacher_id", "value")]
    groups = table.groupby(keys, dropna=False, sort=False)["value"]
    means = groups.agg(mean="mean", sd="std", n="count").reset_index()
    rows = means.astype(object).where(means.notna(), None).to_dict("records")
    for own in rows:
        own["setting"] = setting = setting_of(own)
        for role in ("teacher", "model"):
            own[f"their_{role}"] = published_name(own[role], PROTOCOLS[setting]) if setting else None
    return rows


def _counterparts(number: Mapping[str, Any], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = (number["dataset"], number["setting"], OUR_METRICS.get(number["metric"], number["metric"]))
    same = [own for own in ours if (own["data"], own["setting"], own["metric"]) == wanted]
    if number["method"] in ALONE:
        model = number["teacher"] or number["student"]
        alone = [own for own in same if own["method"] == "ce" and own["teacher"] is None]
        found = [own for own in alone if own["their_model"] == model]
        return [own for own in found if own["role"] == role_of(number["method"])] or found
    wanted = (number["teacher"], number["student"], number["method"])
    found = [own for own in same if (own["their_teacher"], own["their_model"], own["method"]) == wanted]
    return _nearest(number["temperature"], found)


def _nearest(wanted: str | None, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those at the wanted temperature, else at the nearest one by ratio; all if it is not known."""
    if wanted is None:
        return found
    ratios = {
        own["temperature"]: abs(math.log(float(own["temperature"]) / float(wanted)))
        for own in found
        if own["temperature"] not in (None, STD)
    }
    nearest = min(ratios, key=lambda t: (ratios[t], float(t)), default=None)
    return [own for own in found if own["temperature"] == nearest]


def _row(number: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    scale = 100 if number["unit"] == "percent" else 1
    mean, n = scale * own["mean"], own["n"]
    sd = scale * own["sd"] if n > 1 else np.nan
    low, high = t_interval(mean, sd / np.sqrt(n), n) if n > 1 else (np.nan, np.nan)
    return {
        **{key: number[key] for key in (*KEYS, "unit", "source", "note")},
        "temperature": own["temperature"],
        "published": number["value"],
        "our_teacher": own["teacher"],
        "our_model": own["model"],
        "ours": mean,
        "sd": sd,
        "n": n,
        "low": low,
        "high": high,
        "difference": mean - number["value"],
        "within": bool(low <= number["value"] <= high) if n > 1 else None,
        "differs": tuple(known_differences(number, own)),
    }
