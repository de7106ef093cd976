"""Published numbers beside ours: the same data set, models and method, with every known difference."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vicinal.analysis.protocols import ALONE, PROTOCOLS, differences, published_name, role_of, setting_of
from vicinal.analysis.schema import STD
from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW

PUBLISHED = WORKFLOW / "reference" / "published.csv"
KEYS = ["dataset", "setting", "teacher", "student", "method", "temperature", "metric"]
COLUMNS = [*KEYS, "value", "unit", "source", "note"]
COMPARED = [
    "place", *KEYS, "unit", "published", "our_teacher", "our_model", "ours", "sd", "n", "low", "high", "difference",
    "within", "differs", "source", "note",
]  # fmt: skip
OUR_METRICS = {"ece15": "ece"}  # where our name is another one
_REPLICATE = ("model_id", "seed", "teacher_id", "value")


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return the published numbers, one a row; an absent setting is None, temperature is text as in our tables.

    Raises:
        VicinalError: the file is missing, or a column is.
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
    """Return each published number that we have a counterpart of beside ours.

    A counterpart has the same data set and setting (``PROTOCOLS``), the same networks and method. Its temperature is
    the published one, or else the nearest of ours; where the published one is not known every one of ours is compared.
    Ours are means over seeds on the test split; teachers trained with mixup and scaled logits are left out. A published
    model trained alone on cross-entropy is compared with ours in the same role, or in the other where there is none in
    that one.

    Args:
        metrics: the tidy table of an experiment, one row a model × split × metric, values as fractions.
        published: see ``read_published``.

    Returns:
        Columns ``COMPARED``, in the published order; ``place`` is that of the number in the published table. Numbers
        are in ``unit``; ``difference`` is ours − published; ``low`` and ``high`` are mean ∓ t(0.975, n − 1)·sd/√n over
        our seeds and ``within`` says whether the published number lies between them: all three NaN or None for one run.
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
    """Return mean, sd and n over seeds of every setting and metric on the test split, with the names published."""
    table = metrics[metrics["split"].eq("test") & metrics["metric"].isin(wanted)]
    table = table.astype({name: object for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)})
    table = table[table["data"].isin({name for protocol in PROTOCOLS.values() for name in protocol.train})]
    table = table[table["teacher_mixup_alpha"].isna()]
    table = table[table["logit_scale"].isna() | table["logit_scale"].eq(1)]
    table = table[table["role"].eq("student") | table["method"].eq("ce")]
    keys = [column for column in table if column not in _REPLICATE]
    groups = table.groupby(keys, dropna=False, sort=False)["value"]
    means = groups.agg(mean="mean", sd="std", n="count").reset_index()
    rows = means.astype(object).where(means.notna(), None).to_dict("records")
    return [own | _published_names(own) for own in rows]


def _published_names(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting that our runs belong to, and what their networks are called in published tables."""
    setting = setting_of(own)
    names = {"setting": setting, "their_teacher": None, "their_model": None}
    if setting:
        protocol = PROTOCOLS[setting]
        names["their_teacher"] = published_name(own["teacher"], protocol)
        names["their_model"] = published_name(own["model"], protocol)
    return names


def _counterparts(number: Mapping[str, Any], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    metric = OUR_METRICS.get(number["metric"], number["metric"])
    same = [
        own
        for own in ours
        if (own["data"], own["setting"], own["metric"]) == (number["dataset"], number["setting"], metric)
    ]
    if number["method"] in ALONE:
        model = number["teacher"] or number["student"]
        alone = [own for own in same if own["method"] == "ce" and own["teacher"] is None]
        found = [own for own in alone if own["their_model"] == model]
        return [own for own in found if own["role"] == role_of(number["method"])] or found
    wanted = (number["teacher"], number["student"], number["method"])
    found = [own for own in same if (own["their_teacher"], own["their_model"], own["method"]) == wanted]
    return _nearest(number["temperature"], found)


def _nearest(wanted: str | None, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those at the temperature wanted, else at the nearest one by ratio; all where it is not known."""
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
    sd = np.nan if own["sd"] is None else scale * own["sd"]
    half = stdtrit(n - 1, 0.975) * sd / np.sqrt(n) if n > 1 else np.nan
    return {
        **{key: number[key] for key in (*KEYS, "unit", "source", "note")},
        "temperature": own["temperature"],
        "published": number["value"],
        "our_teacher": own["teacher"],
        "our_model": own["model"],
        "ours": mean,
        "sd": sd,
        "n": n,
        "low": mean - half,
        "high": mean + half,
        "difference": mean - number["value"],
        "within": bool(abs(number["value"] - mean) <= half) if n > 1 else None,
        "differs": tuple(differences(number, own)),
    }
