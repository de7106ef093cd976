"""The first sentence of a caption: what the numbers of a figure say, made from its data."""

from collections.abc import Callable, Iterable
from functools import wraps

import pandas as pd

from vicinal.analysis.figures import runs, style
from vicinal.words import number


def each_pair(sentence: Callable[[pd.DataFrame], str]) -> Callable[[pd.DataFrame], str]:
    """Make of what says something of a pair's rows what says it of the first pairs of a figure's data.

    Of at most ``runs.MAIN_PAIRS`` pairs; where there is nothing to say the pair is left out.
    """

    @wraps(sentence)
    def of_pairs(data: pd.DataFrame) -> str:
        shown = list(runs.by_pair(data[data["student"].notna()]).items())[: runs.MAIN_PAIRS]
        return each({title: sentence(rows) for title, rows in shown})

    return of_pairs


def each(sentences: dict[str, str]) -> str:
    """Return sentences by what each is about as one text; empty ones are left out."""
    return " ".join(f"{about}: {text}." for about, text in sentences.items() if text)


def by_method(rows: pd.DataFrame, what: str, form: str, unit: str = "", column: str = "mean") -> str:
    """Return the mean of a column by method in words, e.g. ``accuracy CE 70.1, KD 71.3 %``; empty without a number."""
    means = rows.groupby("method")[column].mean().dropna()
    values = [f"{style.LABELS[method]} {number(means[method], form)}" for method in style.ordered(means.index)]
    return f"{what} {', '.join(values)}{unit}" if values else ""


def joined(parts: Iterable[str]) -> str:
    """Return the parts that say something as one sentence."""
    return "; ".join(filter(None, parts))
