"""The seven claims of the paper as pre-registered tests: see ``evaluate_claims``."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vicinal.analysis.claims import c1, c2, c3, c4, c5, c6, c7
from vicinal.analysis.claims.cells import Runs
from vicinal.analysis.claims.verdict import (
    COLUMNS,
    INCONCLUSIVE,
    NOT_JUDGED,
    NOT_REPRODUCED,
    REPRODUCED,
    rows,
    unjudged,
)
from vicinal.analysis.schema import TEACHER, validated

__all__ = ["CLAIMS", "INCONCLUSIVE", "NOT_JUDGED", "NOT_REPRODUCED", "REPRODUCED", "TABLES", "evaluate_claims"]

CLAIMS: dict[str, Any] = {"C1": c1, "C2": c2, "C3": c3, "C4": c4, "C5": c5, "C6": c6, "C7": c7}
TABLES = ("metrics", "vicinal", "confusion", "reliability")


def evaluate_claims(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdict on every claim and the numbers behind it.

    The replicate is the seed; runs are paired by seed, over the seeds that all runs of a cell have. A claim is
    *reproduced* if the lower bound of the 95 % interval exceeds the threshold in all primary cells, *not reproduced* if
    the upper bound of the Bonferroni interval over the primary cells is below it in any of them, else *inconclusive*.
    It is inconclusive too with fewer than 3 seeds, with runs missing, and where a value is not finite, occurs twice or
    is the same for all seeds. If no model is or has a teacher, every claim is *not judged*.

    Args:
        tables: the tidy tables of an experiment by name, those of ``TABLES`` that exist.

    Returns:
        One row a verdict, primary cell or secondary test, in the order of the claims. ``low`` and ``high`` are the 95 %
        interval, ``p`` is one-sided (the estimand is not above ``threshold``), ``p_holm`` is corrected by Holm over
        the secondary rows of the claim. A verdict row repeats the cell that decides, with the fewest seeds as n.

    Raises:
        VicinalError: a table is not what it should be (``vicinal.analysis.schema.validated``).
    """
    present = {name: tables[name] for name in TABLES if tables.get(name) is not None and len(tables[name])}
    runs = Runs({name: validated(name, table) for name, table in present.items()})
    without_teachers = runs.settings and not any(s.role == TEACHER or s.teacher for s in runs.settings)
    found = []
    for name, claim in CLAIMS.items():
        described = {"claim": name, "title": claim.TITLE, "sentence": claim.SENTENCE}
        found += [described | row for row in (unjudged() if without_teachers else rows(*claim.tests(runs)))]
    return pd.DataFrame(found, columns=COLUMNS)
