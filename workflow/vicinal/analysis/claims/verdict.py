"""From the tests of one claim to its rows: the verdict, then the primary cells, then the secondary ones."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.analysis.claims.samples import ALL_SEEDS, Sample
from vicinal.analysis.claims.statistics import ERROR, Mean, Rule, holm, summary

MIN_SEEDS = 3
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE = "reproduced", "not reproduced", "inconclusive"
NOT_JUDGED = "not judged"  # in an experiment that no claim is about
_NUMBERS = ("estimate", "low", "high", "low_bonferroni", "high_bonferroni", "p", "p_holm")
COLUMNS = [
    "claim", "title", "sentence", "kind", "cell", "estimand", "estimate", "low", "high", "low_bonferroni",
    "high_bonferroni", "n", "threshold", "p", "p_holm", "verdict", "reason", "warning",
]  # fmt: skip


@dataclass
class Test:
    """One number over seeds and the threshold that it has to exceed.

    ``undecided`` says why the cell decides nothing, whatever its interval. A ``descriptive`` test has no p-value.
    """

    __test__ = False  # not for pytest

    cell: str
    estimand: str
    sample: Sample
    rule: Rule = field(default_factory=Mean)
    threshold: float = 0.0
    primary: bool = False
    undecided: str = ""
    descriptive: bool = False
    warning: str = ""

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.sample.seeds)

    @property
    def name(self) -> str:
        """The cell and what is estimated there."""
        return f"{self.cell}: {self.estimand}"

    @property
    def obstacle(self) -> str:
        """Why this test decides nothing; empty if it may decide."""
        if self.sample.needs:
            return f"needs: {self.sample.needs}"
        if self.sample.problem:
            return self.sample.problem
        if self.sample.seeds == [ALL_SEEDS]:
            return "one network for all seeds, so there is no interval over seeds"
        if self.n < MIN_SEEDS:
            return f"{self.n} {'seed' if self.n == 1 else 'seeds'}, at least {MIN_SEEDS} are needed"
        return self.undecided


def decidable(tests: list[Test]) -> list[Test]:
    """Return the tests without those secondary ones whose runs are missing: only primary tests name missing runs."""
    return [test for test in tests if test.primary or not test.sample.needs]


def rows(tests: list[Test], needs: str) -> list[dict[str, Any]]:
    """Return the rows of one claim, the verdict first.

    Args:
        tests: its primary and secondary tests.
        needs: the runs that are missing if it has no primary test at all; else empty.
    """
    primary = [test for test in tests if test.primary]
    primary_rows = [_row(test, len(primary)) for test in primary]
    secondary = [test for test in tests if not test.primary]
    secondary_rows = [_row(test, 1) for test in secondary]
    p = np.array([row["p"] for row in secondary_rows])
    for i, adjusted in zip(np.flatnonzero(~np.isnan(p)), holm(p[~np.isnan(p)]), strict=True):
        secondary_rows[i]["p_holm"] = float(adjusted)
    return [_verdict(primary, primary_rows, needs), *primary_rows, *secondary_rows]


def _row(test: Test, cells: int) -> dict[str, Any]:
    """Return the row of a test; ``cells`` is the number of Bonferroni intervals."""
    numbers = dict.fromkeys(_NUMBERS, math.nan)
    s = test.sample
    usable = len(s.values) > 0 and not s.problem
    if test.n >= 2 and usable:
        over_seeds = summary(s.values)
        numbers["estimate"] = test.rule.estimate(over_seeds)
        numbers["low"], numbers["high"] = test.rule.interval(over_seeds, ERROR)
        if test.primary:
            numbers["low_bonferroni"], numbers["high_bonferroni"] = test.rule.interval(over_seeds, ERROR / cells)
        if test.n >= MIN_SEEDS and not test.descriptive and not test.undecided:
            numbers["p"] = test.rule.p(over_seeds, test.threshold)
    elif test.n == 1 and usable and s.values.shape[1] == 1 and test.rule == Mean():
        numbers["estimate"] = float(s.values[0, 0])
    return {
        "kind": "primary" if test.primary else "secondary",
        "cell": test.cell,
        "estimand": test.estimand,
        **numbers,
        "n": test.n,
        "threshold": test.threshold,
        "verdict": "",
        "reason": test.obstacle,
        "warning": "; ".join(filter(None, (test.warning, s.note))),
    }


def unjudged() -> list[dict[str, Any]]:
    """Return the one row of a claim in an experiment where nothing was distilled."""
    return [_without_test(NOT_JUDGED, "the claims are about distillation, and there is none here")]


def _without_test(verdict: str, reason: str) -> dict[str, Any]:
    """Return the verdict row of a claim without a test."""
    row = {"kind": "verdict", "cell": "", "estimand": "", "n": 0, "verdict": verdict, "reason": reason, "warning": ""}
    return row | dict.fromkeys((*_NUMBERS, "threshold"), math.nan)


def _verdict(tests: list[Test], primary: list[dict[str, Any]], needs: str) -> dict[str, Any]:
    """Return the verdict row; it repeats the numbers of the cell that decides."""
    if needs or not tests:
        return _without_test(INCONCLUSIVE, f"needs: {needs}")
    verdict, at, reason = _decide(tests, primary)
    warnings = dict.fromkeys(part for row in primary for part in row["warning"].split("; ") if part)
    return primary[at] | {
        "kind": "verdict", "n": min(test.n for test in tests), "verdict": verdict, "reason": reason,
        "warning": "; ".join(warnings),
    }  # fmt: skip


def _decide(tests: list[Test], primary: list[dict[str, Any]]) -> tuple[str, int, str]:
    """Return the verdict, the position of the cell that decides, and the reason."""
    for at, test in enumerate(tests):
        if test.sample.problem:  # if some values are broken the others cannot be trusted either
            return INCONCLUSIVE, at, f"{test.name}: {test.sample.problem}"
    usable = [at for at, test in enumerate(tests) if not test.obstacle]
    refuted = [at for at in usable if primary[at]["high_bonferroni"] < primary[at]["threshold"]]
    if refuted:
        at = min(refuted, key=lambda i: primary[i]["high_bonferroni"] - primary[i]["threshold"])
        bound, threshold = primary[at]["high_bonferroni"], primary[at]["threshold"]
        return NOT_REPRODUCED, at, f"{tests[at].name}: the upper bound {bound:.3g} is below {threshold:.3g}"
    missing = [run for test in tests for run in test.sample.needs.split("; ") if run]
    if missing:
        at = next(i for i, test in enumerate(tests) if test.sample.needs)
        return INCONCLUSIVE, at, f"needs: {'; '.join(dict.fromkeys(missing))}"
    stopped = [at for at, test in enumerate(tests) if test.obstacle]
    if stopped:
        return INCONCLUSIVE, stopped[0], f"{tests[stopped[0]].name}: {tests[stopped[0]].obstacle}"
    at = min(usable, key=lambda i: primary[i]["low"] - primary[i]["threshold"])
    low, threshold = primary[at]["low"], primary[at]["threshold"]
    if low > threshold:
        cells = f"all {len(tests)} primary tests" if len(tests) > 1 else "the primary test"
        return REPRODUCED, at, f"{cells}: the lower bound exceeds {threshold:.3g} (smallest margin: {tests[at].name})"
    interval = f"[{low:.3g}, {primary[at]['high']:.3g}]"
    return INCONCLUSIVE, at, f"{tests[at].name}: the 95 % interval {interval} does not exceed {threshold:.3g}"
