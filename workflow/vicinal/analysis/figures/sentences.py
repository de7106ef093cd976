"""Sentences of captions: what the numbers of a figure say, which runs it shows, and what its intervals are."""

from collections.abc import Callable, Iterable

import pandas as pd

from vicinal.analysis.figures import runs, style
from vicinal.words import number

ONE_TEMPERATURE = "No student was distilled at two temperatures from a teacher trained without mixup."


def each_pair(data: pd.DataFrame, say: Callable[..., str], *words: object) -> str:
    """Return what ``say`` says of the rows of each pair, given ``words``, of at most ``runs.MAIN_PAIRS`` pairs."""
    shown = list(runs.by_pair(data[data["student"].notna()]).items())[: runs.MAIN_PAIRS]
    return each({title: say(rows, *words) for title, rows in shown})


def each(sentences: dict[str, str]) -> str:
    """Return sentences by what each is about as one text; empty ones are left out."""
    return " ".join(f"{about}: {text}." for about, text in sentences.items() if text)


def by_method(rows: pd.DataFrame, what: str, form: str, unit: str = "", column: str = "mean") -> str:
    """Return the mean of a column by method as text, e.g. ``accuracy CE 70.1, KD 71.3 %``; empty without a number."""
    means = rows.groupby("method")[column].mean().dropna()
    values = [f"{style.LABELS[method]} {number(means[method], form)}" for method in style.ordered(means.index)]
    return f"{what} {', '.join(values)}{unit}" if values else ""


def by_metric(rows: pd.DataFrame, words: dict[str, tuple[str, ...]]) -> str:
    """Return ``by_method`` of each metric in ``words``, with what it is called, its format and its unit."""
    return joined(by_method(rows[rows["metric"] == metric], *own) for metric, own in words.items())


def joined(parts: Iterable[str]) -> str:
    """Return the parts that say something as one sentence."""
    return "; ".join(filter(None, parts))


def seeds(n: pd.Series) -> str:
    """Return how many seeds there are, e.g. ``n = 5 seeds``."""
    low, high = int(n.min()), int(n.max())
    return f"n = {high} seeds" if low == high else f"n = {low} to {high} seeds"


def interval(n: pd.Series, what: str = "Error bars and bands") -> str:
    """Return what the intervals are and over how many seeds."""
    if n.max() == 1:
        return "One seed: no interval is shown."
    missing = ", none where n = 1" if n.min() == 1 else ""
    return f"{what}: 95 % t-interval of the mean over seeds, mean ± t(0.975, n − 1)·sd/√n, {seeds(n)}{missing}."


def std(data: pd.DataFrame) -> str:
    """Return what ``std`` is among the temperatures; empty where it is none."""
    sentence = "At std the logits of each sample are divided by their own standard deviation. "
    return sentence if (data["temperature"] == "std").any() else ""


def mixup(data: pd.DataFrame) -> str:
    """Return the mixup strength of the methods with mixup; empty where there are none."""
    alpha = data.loc[data["method"].str.endswith("_mixup"), "alpha"].dropna()
    return f"Mixup with α = {alpha.iloc[0]:g}. " if len(alpha) else ""


def trained(data: pd.DataFrame, pairs: bool = True) -> str:
    """Return how the students were trained: T and α; with ``pairs`` also which pairs are shown, if not all may be."""
    temperatures = sorted(data["temperature"].dropna().unique(), key=runs.position)
    distilled = f"Distilled at T = {' or '.join(temperatures)}. " if temperatures else ""
    several = pairs and len(runs.by_pair(data[data["student"].notna()])) >= runs.MAIN_PAIRS
    most = f"Pairs with the most methods and temperatures, at most {runs.MAIN_PAIRS}. " if several else ""
    return most + distilled + mixup(data)
