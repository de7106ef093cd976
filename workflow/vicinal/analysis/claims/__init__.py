"""The seven claims of the paper as pre-registered tests: see ``evaluate_claims``."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import pandas as pd

from vicinal.analysis.claims import c1, c2, c3, c4, c5, c6, c7
from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.verdict import (
    COLUMNS,
    INCONCLUSIVE,
    NOT_JUDGED,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    Test,
    rows,
    unjudged,
)
from vicinal.analysis.schema import TEACHER, validated

__all__ = [
    "CLAIMS",
    "INCONCLUSIVE",
    "NOT_JUDGED",
    "NOT_REPRODUCED",
    "NOT_TESTABLE",
    "REPRODUCED",
    "TABLES",
    "evaluate_claims",
]


class Claim(NamedTuple):
    """What one verdict is about. ``tests`` takes the runs and returns the tests, and which runs it lacks."""

    title: str
    sentence: str
    tests: Callable[[Runs], tuple[list[Test], str]]


CLAIMS = {
    "C1": Claim(c1.TITLE, c1.SENTENCE, c1.tests),
    "C2": Claim(c2.TITLE, c2.SENTENCE, c2.tests),
    "C3-CE": Claim(c3.TITLES["ce"], c3.SENTENCES["ce"], partial(c3.tests, versus="ce")),
    "C3-KD": Claim(c3.TITLES["kd"], c3.SENTENCES["kd"], partial(c3.tests, versus="kd")),
    "C4-CE": Claim(c4.TITLES["ce"], c4.SENTENCES["ce"], partial(c4.tests, versus="ce")),
    "C4-KD": Claim(c4.TITLES["kd"], c4.SENTENCES["kd"], partial(c4.tests, versus="kd")),
    "C5": Claim(c5.TITLE, c5.SENTENCE, c5.tests),
    "C6": Claim(c6.TITLE, c6.SENTENCE, c6.tests),
    "C7": Claim(c7.TITLE, c7.SENTENCE, c7.tests),
}
TABLES = ("metrics", "vicinal", "confusion", "reliability")


def evaluate_claims(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdict on every claim and the numbers behind it; C3 and C4 have one against ce and one against kd.

    The replicate is the seed; runs are paired by seed, over the seeds that all runs of a cell have. A claim is
    *reproduced* if the lower bound of the 95 % interval exceeds the threshold in all primary cells, *not reproduced* if
    the upper bound of the Bonferroni interval over the primary cells is below it in any of them, else *inconclusive*.
    It is inconclusive too with fewer than 3 seeds, with runs missing, and where a value is not finite, occurs twice or
    is the same for all seeds. A primary cell whose precondition does not hold is left out; where none is left the claim
    is *not testable here*. If no model is or has a teacher, every claim is *not judged*.

    Args:
        tables: the tidy tables of an experiment by name, those of ``TABLES`` that exist.

    Returns:
        One row a verdict, precondition, primary cell or secondary test, in the order of the claims. ``low`` and
        ``high`` are the 95 % interval, ``p`` is one-sided (the estimand is not above ``threshold``), ``p_holm`` is
        corrected by Holm over the secondary rows of the claim. A verdict row repeats the cell that decides, with the
        fewest seeds as n.

    Raises:
        VicinalError: a table is not what it should be (``vicinal.analysis.schema.validated``).
    """
    present = {name: tables[name] for name in TABLES if tables.get(name) is not None and len(tables[name])}
    runs = Runs({name: validated(name, table) for name, table in present.items()})
    without_teachers = runs.settings and not any(s.role == TEACHER or s.teacher for s in runs.settings)
    found = []
    for name, claim in CLAIMS.items():
        described = {"claim": name, "title": claim.title, "sentence": claim.sentence}
        found += [described | row for row in (unjudged() if without_teachers else rows(*claim.tests(runs)))]
    return pd.DataFrame(found, columns=COLUMNS)
