"""Published numbers beside ours: the same data set, models, method and temperature, with every known difference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vicinal.errors import VicinalError
from vicinal.spec import more_weights

PUBLISHED = Path(__file__).resolve().parents[1] / "reference" / "published.csv"
KEYS = ["dataset", "setting", "teacher", "student", "method", "temperature", "metric"]
COLUMNS = [*KEYS, "value", "unit", "source", "note"]
COMPARED = [
    *KEYS, "unit", "published", "ours", "sd", "n", "low", "high", "difference", "within", "training_images",
    "published_images", "differs", "source", "note",
]  # fmt: skip
# Our data sets whose recipes train from scratch on 32 × 32 images, and how many training images the published runs saw.
SCRATCH32 = {"cifar10": 50_000, "cifar100": 50_000}
OUR_METRICS = {"ece15": "ece"}  # where our name is another one
ALONE = ("teacher", "ce")  # a published model that was trained without a teacher, on cross-entropy
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

    A counterpart has the same data set, trained at 32 × 32 from scratch, the same teacher, student, method and
    temperature; where the published temperature is unknown every one of ours is compared. Ours are means over seeds on
    the test split; teachers trained with mixup and scaled logits are left out. A published model trained alone on
    cross-entropy is compared with ours in the same role, or in the other where there is none in that one.

    Args:
        metrics: the tidy table of an experiment, one row a model × split × metric, values as fractions.
        published: see ``read_published``.

    Returns:
        Columns ``COMPARED``, in the published order. Numbers are in ``unit``; ``difference`` is ours − published;
        ``low`` and ``high`` are mean ∓ t(0.975, n − 1)·sd/√n over our seeds and ``within`` says whether the published
        number lies between them: all three NaN or None for one seed. ``differs`` is a tuple of sentences.
    """
    ours = _our_means(metrics)
    rows = []
    for number in published[published["setting"] == "scratch32"].to_dict("records"):
        if number["dataset"] in SCRATCH32:
            rows += [_row(number, own) for own in _counterparts(number, ours)]
    table = pd.DataFrame(rows, columns=COMPARED)
    texts = [*KEYS, "source", "note"]
    return table.assign(**{name: table[name].astype(object).where(table[name].notna(), None) for name in texts})


def _our_means(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Return mean, sd and n over seeds of every setting and metric on the test split."""
    table = metrics.astype({name: object for name in metrics if isinstance(metrics[name].dtype, pd.CategoricalDtype)})
    table = table[table["split"].eq("test") & table["data"].isin(list(SCRATCH32))]
    table = table[table["teacher_mixup_alpha"].isna()]
    table = table[table["logit_scale"].isna() | table["logit_scale"].eq(1)]
    table = table[table["role"].eq("student") | table["method"].eq("ce")]
    keys = [column for column in table if column not in _REPLICATE]
    groups = table.groupby(keys, dropna=False, sort=False)["value"]
    rows = groups.agg(mean="mean", sd="std", n="count").reset_index()
    rows = rows.astype(object).where(rows.notna(), None)
    return rows.to_dict("records")


def _counterparts(number: Mapping[str, Any], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    metric = OUR_METRICS.get(number["metric"], number["metric"])
    same = [own for own in ours if own["data"] == number["dataset"] and own["metric"] == metric]
    if number["method"] in ALONE:
        role = "teacher" if number["method"] == "teacher" else "student"
        model = number["teacher"] or number["student"]
        found = [own for own in same if own["model"] == model and own["method"] == "ce" and own["teacher"] is None]
        return [own for own in found if own["role"] == role] or found
    found = [
        own
        for own in same
        if (own["teacher"], own["model"], own["method"]) == (number["teacher"], number["student"], number["method"])
    ]
    wanted = number["temperature"]
    return [own for own in found if wanted is None or own["temperature"] == wanted]


def _row(number: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    scale = 100 if number["unit"] == "percent" else 1
    mean, n = scale * own["mean"], own["n"]
    sd = np.nan if own["sd"] is None else scale * own["sd"]
    half = stdtrit(n - 1, 0.975) * sd / np.sqrt(n) if n > 1 else np.nan
    images, published_images = _training_images(own), SCRATCH32[number["dataset"]]
    return {
        **{key: number[key] for key in (*KEYS, "unit", "source", "note")},
        "temperature": own["temperature"],
        "published": number["value"],
        "ours": mean,
        "sd": sd,
        "n": n,
        "low": mean - half,
        "high": mean + half,
        "difference": mean - number["value"],
        "within": bool(abs(number["value"] - mean) <= half) if n > 1 else None,
        "training_images": images,
        "published_images": published_images,
        "differs": tuple(_differences(number, own, images, published_images)),
    }


def _training_images(own: Mapping[str, Any]) -> int:
    """Return how many images we trained on: those left of the training set by the validation split, or the limit."""
    left = SCRATCH32[own["data"]] - int(own.get("data_validation") or 0)
    limit = own.get("data_limit_train")
    return min(left, int(limit)) if limit else left


def _differences(number: Mapping[str, Any], own: Mapping[str, Any], images: int, published_images: int) -> list[str]:
    """Return what is known to differ between our runs and the published ones, one sentence each."""
    found = []
    if images != published_images:
        found.append(f"ours trained on {images:,} of {published_images:,} training images")
    found.append("ours is the last epoch, chosen on nothing")
    if own.get("recipe_epochs") not in (None, 240):
        found.append(f"ours trained for {int(own['recipe_epochs'])} epochs, this setting's recipe has 240")
    if number["method"] in ALONE and own["role"] != ("teacher" if number["method"] == "teacher" else "student"):
        found.append(f"ours is a {own['role']} of the experiment, trained alone on cross-entropy")
    if own["method"].startswith("kd"):
        more = [name for name in ("ce_weight", *more_weights(own)) if own[name]]
        if more:
            terms = [f"{own[name]:g} {name.removesuffix('_weight').upper()}" for name in ("kd_weight", *more)]
            found.append(f"our loss: {' + '.join(terms)}")
        else:
            found.append("our loss is KL(teacher ‖ student)·T² alone, without cross-entropy")
        if number["temperature"] is None:
            found.append("the published temperature is not known")
    if own["method"].endswith("mixup"):
        found.append(f"ours draws λ for each sample, from Beta({own['alpha']:g}, {own['alpha']:g})")
    if own["teacher"] is not None:
        found.append("our teacher is our own, one for each seed")
    return found
