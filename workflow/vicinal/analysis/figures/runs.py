"""Which runs a figure shows, and their mean, interval and n over seeds."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vicinal.analysis.figures.style import METHODS, TEACHER, natural
from vicinal.analysis.schema import MODEL_COLUMNS
from vicinal.spec import more_weights

# At most this many pairs in figures that have a row or a column of panels for each pair.
MAIN_PAIRS = 3
MAIN_TEMPERATURE = 2.0
# Sentences of figures over several temperatures, see ``over_temperatures``.
ONE_TEMPERATURE = "No student was distilled at two temperatures from a teacher trained without mixup."
STD = "At std the logits of each sample are divided by their own standard deviation. "
PANEL = ["teacher", "student", "method", "temperature"]


class Pair(NamedTuple):
    """A student and the teacher it learned from; no teacher where nothing was distilled into that student."""

    teacher: str | None
    student: str

    @property
    def title(self) -> str:
        """How the pair is written above its panels."""
        return f"{self.teacher} → {self.student}" if self.teacher else self.student


def models_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model of any table of an experiment; what does not apply to a model is None or NaN."""
    weights = more_weights(table)
    models = table[[*MODEL_COLUMNS, *weights]].drop_duplicates("model_id").reset_index(drop=True)
    models[weights] = models[weights].fillna(0.0)  # a term that a model does not know
    texts = ["model_id", "role", "model", "method", "teacher", "temperature"]
    models = models.astype(dict.fromkeys(texts, object))
    models[texts] = models[texts].where(models[texts].notna(), None)
    return models


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
    alpha = 1.0 if (alphas == 1).any() else alphas.max()
    return students[students["alpha"].isna() | (students["alpha"] == alpha)]


def pairs_of(students: pd.DataFrame) -> list[Pair]:
    """Return the teacher–student pairs by student, then teacher; (None, student) where nothing was distilled."""
    pairs = {Pair(teacher, student) for teacher, student in zip(students["teacher"], students["model"], strict=True)}
    taught = {pair.student for pair in pairs if pair.teacher}
    pairs = {pair for pair in pairs if pair.teacher or pair.student not in taught}
    return sorted(pairs, key=lambda pair: (natural(pair.student), natural(pair.teacher)))


def main_pairs(students: pd.DataFrame) -> list[Pair]:
    """Return the pairs with the most methods × temperatures, at most ``MAIN_PAIRS``."""
    numbers = {
        pair: len(_of_pair(students, pair)[["method", "temperature"]].drop_duplicates()) for pair in pairs_of(students)
    }
    return [pair for pair, number in numbers.items() if number == max(numbers.values())][:MAIN_PAIRS]


def temperatures(students: pd.DataFrame, pair: Pair) -> list[str]:
    """Return the temperatures at which a pair was distilled: numbers upwards, then ``std``."""
    return sorted(_of_pair(students, pair)["temperature"].unique(), key=position) if pair.teacher else []


def position(temperature: str | None) -> float:
    """Return log2 of a temperature, infinity for ``std``, −infinity where there is none."""
    if temperature is None:
        return -math.inf
    return math.inf if temperature == "std" else math.log2(float(temperature))


def nearest_temperature(available: Iterable[str]) -> str | None:
    """Return the temperature nearest to 2 in log2, the lower one of two; ``std`` only if there is no number."""
    wanted = math.log2(MAIN_TEMPERATURE)
    return min(available, key=lambda t: (abs(position(t) - wanted), position(t)), default=None)


def main_panels(models: pd.DataFrame) -> pd.DataFrame:
    """Return the models of the main pairs, each at one temperature: the nearest to 2 of those with the most methods.

    See ``panel_models`` for the columns.
    """
    students = main_students(models)
    wanted = []
    for pair in main_pairs(students):
        methods = _of_pair(students, pair).dropna(subset="temperature").groupby("temperature")["method"].nunique()
        chosen = nearest_temperature(methods.index[methods == methods.max()])
        wanted.append((pair, [chosen] if chosen else []))
    return panel_models(models, students, wanted)


def panel_models(
    models: pd.DataFrame, students: pd.DataFrame, wanted: Iterable[tuple[Pair, Iterable[str]]]
) -> pd.DataFrame:
    """Return which models the panel of each pair shows: its teacher, the student alone, the student at temperatures.

    Args:
        models: see ``models_of``.
        students: those to choose from.
        wanted: pairs, each with its temperatures.

    Returns:
        Columns teacher, student, method (``teacher``, or the student's), temperature (None where there is none),
        model_id and seed. A model that is in the panels of several pairs has several rows.
    """
    teachers = plain_teachers(models)
    parts = []
    for pair, chosen in wanted:
        own = _of_pair(students, pair)
        alone = students[(students["model"] == pair.student) & students["teacher"].isna()]
        rows = [alone]
        if pair.teacher:
            rows.append(teachers[teachers["model"] == pair.teacher].assign(method=TEACHER))
            rows.append(own[own["temperature"].isin(list(chosen))])
        parts += [part.assign(teacher=pair.teacher, student=pair.student) for part in rows if len(part)]
    columns = [*PANEL, "model_id", "seed"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _of_pair(students: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    same_teacher = students["teacher"] == pair.teacher if pair.teacher else students["teacher"].isna()
    return students[(students["model"] == pair.student) & same_teacher]


def with_values(members: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the panels' models with ``columns`` of a table joined to each."""
    values = table[["model_id", *columns]]
    texts = [column for column in values if isinstance(values[column].dtype, pd.CategoricalDtype)]
    return members.merge(values.astype(dict.fromkeys(texts, object)), on="model_id")


def scores(members: pd.DataFrame, metrics: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the panels' models with those of their test metrics that are in ``names``: metric and value, in %."""
    table = metrics[(metrics["split"] == "test") & metrics["metric"].isin(list(names))]
    values = with_values(members, table, ["metric", "value"])
    return values.assign(value=100 * values["value"].astype(float))


def over_seeds(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return mean, sd (n − 1), n, the 95 % interval of the mean (low, high) and the range (min, max) of ``value``.

    low and high are mean ∓ t(0.975, n − 1) · sd / √n, NaN where n = 1. Rows are ordered by pair, method and temperature
    as in the figures, then by the other keys.
    """
    groups = values.groupby(keys, dropna=False, observed=True, sort=False)["value"]
    table = groups.agg(mean="mean", sd="std", n="count", min="min", max="max").reset_index()
    n = table["n"].to_numpy(dtype=float)
    half = stdtrit(np.where(n > 1, n - 1, np.nan), 0.975) * table["sd"] / np.sqrt(n)
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return in_order(table)


def over_temperatures(metrics: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of test metrics, in %, of the pairs distilled at two temperatures or more.

    Args:
        metrics: the table of metrics, as fractions.
        names: those wanted.

    Returns:
        By pair, method, temperature and metric: see ``over_seeds``. ``alpha`` is the mixup strength of the methods with
        mixup. Without such a pair the table is empty.
    """
    models = models_of(metrics)
    students = main_students(models)
    wanted = [(pair, temperatures(students, pair)) for pair in pairs_of(students)]
    members = panel_models(models, students, [(pair, ts) for pair, ts in wanted if len(ts) > 1])
    values = scores(members, metrics, names)
    return over_seeds(values, [*PANEL, "metric"]).assign(unit="%", alpha=mixup_alpha(students))


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows ordered by student, teacher, method and temperature, as the figures list them."""
    texts = [column for column in PANEL if column in table]
    table = table.astype(dict.fromkeys(texts, object))
    table[texts] = table[texts].where(table[texts].notna(), None)
    keys = {"student": natural, "teacher": natural, "method": METHODS.index, "temperature": position}
    names = [name for name in (*keys, "split", "metric", "epoch", "lam", "low_edge") if name in table]
    places = table[names].copy()
    for name in keys.keys() & set(places):
        places[name] = places[name].map(sorted(places[name].unique(), key=keys[name]).index)
    return table.loc[places.sort_values(names, kind="stable").index].reset_index(drop=True)


def by_pair(data: pd.DataFrame, with_temperature: bool = False) -> dict[str, pd.DataFrame]:
    """Return the rows of each pair of a figure's table by its title, in the table's order.

    ``with_temperature``: the title also says at which temperatures the pair was distilled.
    """
    found = {}
    for (teacher, student), own in data.groupby(["teacher", "student"], dropna=False, sort=False):
        title = Pair(None if pd.isna(teacher) else teacher, student).title
        at = sorted(own["temperature"].dropna().unique(), key=position) if with_temperature else []
        found[title + (f", T = {' or '.join(at)}" if at else "")] = own
    return found


def mixup_alpha(students: pd.DataFrame) -> float:
    """Return α of the students trained with mixup, NaN where there are none."""
    return float(students["alpha"].max())


def seeds_text(n: pd.Series) -> str:
    """Return how many seeds there are, e.g. ``n = 5 seeds``."""
    low, high = int(n.min()), int(n.max())
    return f"n = {high} seeds" if low == high else f"n = {low} to {high} seeds"


def interval_text(n: pd.Series, what: str = "Error bars and bands") -> str:
    """Return the sentence of a caption that says what the intervals are and over how many seeds."""
    if n.max() == 1:
        return "One seed: no interval is shown."
    missing = ", none where n = 1" if n.min() == 1 else ""
    return f"{what}: 95 % t-interval of the mean over seeds, mean ± t(0.975, n − 1)·sd/√n, {seeds_text(n)}{missing}."


def fill_caption(text: str, data: pd.DataFrame, what: str = "Error bars and bands", **more: str) -> str:
    """Return a caption with its placeholders filled: {interval}, {mixup} (its α), {distilled} (its T) and ``more``."""
    numbers = sorted(data["temperature"].dropna().unique(), key=position)
    alpha = data.loc[data["method"].str.endswith("_mixup"), "alpha"].dropna()
    several = len(by_pair(data[data["student"].notna()])) >= MAIN_PAIRS
    return text.format(
        interval=interval_text(data["n"], what),
        pairs=f"Pairs with the most methods and temperatures, at most {MAIN_PAIRS}. " if several else "",
        **more,
        mixup=f"Mixup with α = {alpha.iloc[0]:g}. " if len(alpha) else "",
        distilled=f"Distilled at T = {' or '.join(numbers)}. " if len(numbers) else "",
    )
