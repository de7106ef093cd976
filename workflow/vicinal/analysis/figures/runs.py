"""Which runs a figure shows, and their mean, interval and n over seeds."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vicinal.analysis.figures.style import METHODS, TEACHER, natural
from vicinal.analysis.schema import MODEL_COLUMNS
from vicinal.spec import more_weights

MAIN_PAIRS = 3  # at most, in figures that have a row or a column of panels for each pair
MAIN_TEMPERATURE = 2.0
PAIR = ["teacher", "student"]
PANEL = [*PAIR, "method", "temperature"]


def models_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model of any table of an experiment; what does not apply to a model is None or NaN."""
    weights = more_weights(table)
    models = table[[*MODEL_COLUMNS, *weights]].drop_duplicates("model_id").reset_index(drop=True)
    models[weights] = models[weights].fillna(0.0)  # a term that a model does not know
    return _plain(models, ["model_id", "role", "model", "method", "teacher", "temperature"])


def _plain(table: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    table = table.astype(dict.fromkeys(texts, object))
    table[texts] = table[texts].where(table[texts].notna(), None)
    return table


def plain_teachers(models: pd.DataFrame) -> pd.DataFrame:
    """Return the teachers that were trained without mixup."""
    return models[(models["role"] == TEACHER) & models["alpha"].isna()]


def main_students(models: pd.DataFrame) -> pd.DataFrame:
    """Return the students of the main comparison; variants for ablations are left out.

    That is: logits of the teacher not scaled, teacher without mixup, loss weights kd 1 and all others 0 (else the most
    frequent ones), and the mixup strength α = 1 (else the largest).
    """
    students = models[models["role"] == "student"]
    distilled = students["method"].isin(["kd", "kd_mixup"])
    plain = students["teacher_mixup_alpha"].isna() & (students["logit_scale"] == 1)
    students, distilled = students[~distilled | plain], distilled[~distilled | plain]
    names = ["kd_weight", "ce_weight", *more_weights(students)]
    counts = students[distilled].groupby(names, sort=False).size()
    if len(counts):
        usual = (1.0, *[0.0] * (len(names) - 1))
        chosen = usual if usual in counts.index else counts.idxmax()
        students = students[~distilled | (students[names] == list(chosen)).all(axis=1)]
    # Without mixup in distillation, α is that of the students without a teacher.
    mixed = students.loc[students["method"] == "kd_mixup", "alpha"]
    alphas = mixed if len(mixed) else students["alpha"]
    return students[students["alpha"].isna() | (students["alpha"] == (1.0 if (alphas == 1).any() else alphas.max()))]


def position(temperature: str | None) -> float:
    """Return log2 of a temperature, infinity for ``std``, −infinity where there is none."""
    if temperature is None:
        return -math.inf
    return math.inf if temperature == "std" else math.log2(float(temperature))


def nearest_temperature(available: Iterable[str]) -> str | None:
    """Return the temperature nearest to 2 in log2, the lower one of two; ``std`` only if there is no number."""
    wanted = math.log2(MAIN_TEMPERATURE)
    return min(available, key=lambda t: (abs(position(t) - wanted), position(t)), default=None)


def all_panels(models: pd.DataFrame) -> pd.DataFrame:
    """Return the models that belong to each pair: its teacher, the student alone, the student at each temperature.

    Columns: teacher, student, method (``teacher``, or the student's), temperature (None where there is none), model_id,
    seed and alpha (of the students trained with mixup; NaN: none). A model of several pairs has several rows. Where
    nothing was distilled into a student, it is a pair without a teacher.
    """
    students, teachers = main_students(models), plain_teachers(models).assign(method=TEACHER)
    taught = set(students.loc[students["teacher"].notna(), "model"])
    parts = [students[:0].assign(student=None)]
    for teacher, student in students[["teacher", "model"]].drop_duplicates().itertuples(index=False):
        if teacher or student not in taught:
            own = students[(students["model"] == student) & students["teacher"].isin([teacher, None])]
            panel = pd.concat([teachers[teachers["model"] == teacher], own])
            parts.append(panel.assign(teacher=teacher, student=student))
    columns = [*PANEL, "model_id", "seed"]
    return in_order(pd.concat(parts, ignore_index=True)[columns].assign(alpha=students["alpha"].max()))


def main_panels(table: pd.DataFrame) -> pd.DataFrame:
    """Return those of ``all_panels`` with the most methods × temperatures, at most ``MAIN_PAIRS`` pairs.

    Each has one temperature: the nearest to 2 of those with the most methods.
    """
    members = all_panels(models_of(table))
    numbers, panels = [], []
    for _, own in members.groupby(PAIR, dropna=False, sort=False):
        distilled = own[own["temperature"].notna() | own["teacher"].isna()]
        numbers.append(len(distilled[["method", "temperature"]].drop_duplicates()))
        methods = distilled.groupby("temperature")["method"].nunique()
        chosen = nearest_temperature(methods.index[methods == methods.max()])
        panels.append(own[own["temperature"].isna() | (own["temperature"] == chosen)])
    most = [own for own, number in zip(panels, numbers, strict=True) if number == max(numbers)][:MAIN_PAIRS]
    return pd.concat(most, ignore_index=True) if most else members


def with_values(members: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the panels' models with ``columns`` of a table joined to each."""
    values = table[["model_id", *columns]]
    texts = [column for column in values if isinstance(values[column].dtype, pd.CategoricalDtype)]
    return members.merge(values.astype(dict.fromkeys(texts, object)), on="model_id")


def scores(members: pd.DataFrame, metrics: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the panels' models with those of their test metrics that are in ``names``: metric and value, in %."""
    table = metrics[(metrics["split"] == "test") & metrics["metric"].isin(list(names))]
    return with_values(members, table, ["metric", "value"]).assign(value=lambda own: 100 * own["value"].astype(float))


def whole(table: pd.DataFrame) -> pd.Series:
    """Return which rows are over all λ."""
    return (table["lam_low"] == 0) & (table["lam_high"] == 1)


def over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """Return mean, sd (n − 1), n, the 95 % interval of the mean (low, high) and the range (min, max) of ``value``.

    By all other columns but model_id and seed. low and high are mean ∓ t(0.975, n − 1) · sd / √n, NaN where n = 1.
    Rows are ordered by pair, method and temperature as in the figures, then as they are.
    """
    keys = list(values.columns.drop(["model_id", "seed", "value"], errors="ignore"))
    groups = values.groupby(keys, dropna=False, observed=True, sort=False)["value"]
    table = groups.agg(mean="mean", sd="std", n="count", min="min", max="max").reset_index()
    n = table["n"].to_numpy(dtype=float)
    half = stdtrit(np.where(n > 1, n - 1, np.nan), 0.975) * table["sd"] / np.sqrt(n)
    return in_order(table.assign(low=table["mean"] - half, high=table["mean"] + half))


def over_temperatures(metrics: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return ``over_seeds`` of test metrics, in %, by pair, method, temperature and metric.

    Of the pairs distilled at two temperatures or more; without such a pair the table is empty.
    """
    members = all_panels(models_of(metrics))
    several = members.groupby(PAIR, dropna=False)["temperature"].transform("nunique") > 1
    return over_seeds(scores(members[several], metrics, names)).assign(unit="%")


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows ordered by student, teacher, method and temperature, as the figures list them."""
    keys = {"student": natural, "teacher": natural, "method": METHODS.index, "temperature": position}
    table = _plain(table, [name for name in PANEL if name in table])
    places = table[[name for name in (*keys, "split", "metric", "epoch", "lam", "low_edge") if name in table]].copy()
    for name in keys.keys() & set(places):
        places[name] = places[name].map(sorted(places[name].unique(), key=keys[name]).index)
    return table.loc[places.sort_values(list(places), kind="stable").index].reset_index(drop=True)


def by_pair(data: pd.DataFrame, with_temperature: bool = False) -> dict[str, pd.DataFrame]:
    """Return the rows of each pair of a figure's table by its title, in the table's order.

    ``with_temperature``: the title also says at which temperatures the pair was distilled.
    """
    found = {}
    for (teacher, student), own in data.groupby(PAIR, dropna=False, sort=False):
        at = sorted(own["temperature"].dropna().unique(), key=position) if with_temperature else []
        title = student if pd.isna(teacher) else f"{teacher} → {student}"
        found[title + (f", T = {' or '.join(at)}" if at else "")] = own
    return found
