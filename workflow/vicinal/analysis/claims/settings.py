"""The setting of a run, which is all that determines it except the seed: read from a table, compared, described."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from vicinal.analysis.schema import STD, STUDENT, VARIANT
from vicinal.spec import more_weights

PRIMARY_ALPHA, PRIMARY_TEMPERATURE, PRIMARY_WEIGHTS = 1.0, 2.0, (1.0, 0.0)


class Setting(NamedTuple):
    """What determines a run except its seed; None where it does not apply. ``temperature`` is a number or ``std``.

    ``others`` are the terms of the loss beside kd and ce, each as (name of its weight, weight), without those at 0.
    """

    role: str
    data: str
    model: str
    method: str
    alpha: float | None
    teacher: str | None
    teacher_mixup_alpha: float | None
    temperature: float | str | None
    logit_scale: float | None
    kd_weight: float | None
    ce_weight: float | None
    recipe: tuple = ()  # of training
    source: tuple = ()  # the settings of the data
    others: tuple = ()


FIELDS = Setting._fields[:-3]


def read_setting(row: Mapping[str, Any]) -> Setting:
    """Return the setting of a row of a table.

    Args:
        row: has all of ``FIELDS``, the columns of ``VARIANT``, and the weights of other terms (``more_weights``); None,
            NaN and NA stand for what does not apply.
    """
    values = {name: None if pd.isna(value) else value for name, value in row.items()}
    known = {name: values[name] for name in FIELDS}
    if known["temperature"] not in (None, STD):
        known["temperature"] = float(known["temperature"])
    recipe, source = (tuple(str(v) for name, v in values.items() if name.startswith(start)) for start in VARIANT)
    others = tuple((name, values[name]) for name in sorted(more_weights(values)) if values[name])
    return Setting(**known, recipe=recipe, source=source, others=others)


def baseline(setting: Setting, method: str) -> Setting:
    """Return the setting of a kd_mixup student's baseline: the same, without what the method does not have."""
    if method == "kd":
        return setting._replace(method="kd", alpha=None)
    alpha = setting.alpha if method == "ce_mixup" else None
    return Setting(
        STUDENT, setting.data, setting.model, method, alpha, *[None] * 4, 0.0, 1.0, setting.recipe, setting.source
    )  # fmt: skip


def is_default(setting: Setting) -> bool:
    """Return whether a distilled student has the primary weights, and a teacher without mixup or scaled logits."""
    return setting.teacher_mixup_alpha is None and setting.logit_scale == 1 and _has_primary_weights(setting)


def _has_primary_weights(setting: Setting) -> bool:
    return (setting.kd_weight, setting.ce_weight) == PRIMARY_WEIGHTS and not setting.others


def is_primary(setting: Setting) -> bool:
    """Return whether a student belongs to a primary cell: kd_mixup, α = 1, T = 2 and the defaults."""
    return is_default(setting) and setting == primary_of(setting)


def primary_of(setting: Setting) -> Setting:
    """Return the kd_mixup setting of the primary cell of a student's pair."""
    return setting._replace(method="kd_mixup", alpha=PRIMARY_ALPHA, temperature=PRIMARY_TEMPERATURE)


def arrow(setting: Setting) -> str:
    """Return ``teacher → student``, or the student alone."""
    return f"{setting.teacher} → {setting.model}" if setting.teacher else setting.model


def in_words(setting: Setting, brief: bool) -> list[str]:
    """Return a student's settings as text; ``brief`` leaves out those of the primary cells, except T."""
    parts = []
    if setting.alpha is not None and not (brief and setting.alpha == PRIMARY_ALPHA):
        parts.append(f"α = {setting.alpha:g}")
    if setting.temperature is not None:
        t = setting.temperature
        parts.append(f"T = {t if isinstance(t, str) else format(t, 'g')}")
    if setting.logit_scale not in (None, 1):
        parts.append(f"logit scale {setting.logit_scale:g}")
    weights = {"kd_weight": setting.kd_weight, "ce_weight": setting.ce_weight, **dict(setting.others)}
    if setting.teacher and None not in weights.values() and not _has_primary_weights(setting):
        parts += [f"{name} {weight:g}" for name, weight in weights.items()]
    if setting.teacher_mixup_alpha is not None:
        parts.append(f"teacher with mixup α = {setting.teacher_mixup_alpha:g}")
    return parts


def order(setting: Setting) -> list:
    """Return a sort key: numbers within names by value, what does not apply first, ``std`` last."""
    key: list = []
    for value in setting:
        if isinstance(value, float | int):
            key.append((1, float(value)))
        elif isinstance(value, tuple):
            key.append((2, *value))
        elif value is None:
            key.append((0,))
        else:
            key.append((2, *((int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", value))))
    return key
