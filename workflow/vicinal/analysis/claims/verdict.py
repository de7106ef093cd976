"""From the tests of one claim to its rows: verdict, preconditions, primary cells, secondary tests."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.analysis.claims.samples import ALL_SEEDS, Sample
from vicinal.analysis.claims.statistics import (
    ERROR,
    MOST_SEEDS,
    POWER,
    Interval,
    Mean,
    Rule,
    detectable,
    holm,
    seeds_needed,
    summary,
)
from vicinal.analysis.claims.units import PLAIN, Unit

MIN_SEEDS = 3
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE = "reproduced", "not reproduced", "inconclusive"
NOT_TESTABLE = "not testable here"  # in an experiment where a precondition does not hold
NOT_JUDGED = "not judged"  # in an experiment that no claim is about
_IN_UNITS = ("estimate", "low", "high", "low_bonferroni", "high_bonferroni", "threshold")
_NUMBERS = (*_IN_UNITS, "p", "p_holm")
COLUMNS = [
    "claim", "title", "sentence", "kind", "cell", "estimand", "estimate", "low", "high", "low_bonferroni",
    "high_bonferroni", "n", "threshold", "unit", "p", "p_holm", "verdict", "finding", "reason", "warning",
]  # fmt: skip


@dataclass
class Test:
    """One number over seeds and the threshold that it has to exceed.

    Its numbers are fractions and logarithms, its rows have them in its ``unit``. ``says`` is a sentence on what was
    found, with {} for the effect; ``scale`` explains the threshold. A ``descriptive`` test has no p-value. A primary
    test may have preconditions, ``requires``: tests whose ``otherwise`` says what is the case where they fail.
    ``barred`` says why no numbers could decide it.
    """

    __test__ = False  # not for pytest

    cell: str
    estimand: str
    sample: Sample
    rule: Rule = field(default_factory=Mean)
    threshold: float = 0.0
    unit: Unit = PLAIN
    says: str = ""
    scale: str = ""
    primary: bool = False
    descriptive: bool = False
    warning: str = ""
    requires: tuple["Test", ...] = ()
    otherwise: str = ""
    barred: str = ""

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
        return next((f"{test.name}: {test.obstacle}" for test in self.requires if test.obstacle), "")

    @property
    def interval(self) -> Interval:
        """The 95 % interval; there is none where there is an obstacle."""
        return self.rule.interval(summary(self.sample.values), ERROR)

    @property
    def side(self) -> int:
        """1 if the interval lies above the threshold, −1 if below; 0 if it does neither or there is an obstacle."""
        if self.obstacle:
            return 0
        return int(self.interval.low > self.threshold) - int(self.interval.high < self.threshold)

    @property
    def effect(self) -> str:
        """The estimate with its 95 % interval, in its unit."""
        return self.unit.show_effect(self.rule.estimate(summary(self.sample.values)), self.interval)

    @property
    def finding(self) -> str:
        """A sentence on what was found; empty where there is an obstacle."""
        return "" if self.obstacle else (self.says or f"{self.estimand}: {{}}").format(self.effect)

    @property
    def outcome(self) -> str:
        """Where, what was found, and what the claim needs."""
        scale = f" ({self.scale})" if self.scale else ""
        needed = self.unit.show(self.threshold) if self.threshold else "0"
        return f"{self.cell}: {self.finding}; the claim needs more than {needed}{scale}"

    @property
    def fails(self) -> bool:
        """Whether a precondition can be tested and is not shown to hold."""
        return not self.obstacle and self.side < 1

    @property
    def failure(self) -> str:
        """What is the case where a precondition fails, with its interval."""
        return f"{self.cell}: {self.otherwise} ({self.estimand}: {self.effect}, not above 0)"

    @property
    def untestable(self) -> str:
        """Why this experiment cannot test it; empty if it can."""
        return self.barred or "; ".join(test.failure for test in self.requires if test.fails)

    @property
    def power(self) -> str:
        """What could have been found with these seeds, and how many the estimate would need."""
        over_seeds = summary(self.sample.values)
        mean, se, error = self.rule.decisive(over_seeds)
        value = self.threshold + detectable(se, self.n, error)
        needed = seeds_needed(mean - self.threshold, se * math.sqrt(self.n), error)
        if mean <= self.threshold:
            words = "the estimate is not above the threshold"
        else:
            words = f"the estimate would need {needed or f'more than {MOST_SEEDS:,}'} seeds"
        true = self.unit.show(value)
        return f"with {self.n} seeds a true effect of {true} would be found in {100 * POWER:.0f} %, {words}"


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
    cells = max(1, sum(not test.untestable for test in primary))
    primary_rows = [_row(test, "primary", cells) for test in primary]
    required = {test.name: test for one in primary for test in one.requires}.values()
    secondary_rows = [_row(test, "secondary") for test in tests if not test.primary]
    p = np.array([row["p"] for row in secondary_rows])
    for i, adjusted in zip(np.flatnonzero(~np.isnan(p)), holm(p[~np.isnan(p)]), strict=True):
        secondary_rows[i]["p_holm"] = float(adjusted)
    preconditions = [_row(test, "precondition") for test in required]
    found = [_verdict(primary, primary_rows, needs), *preconditions, *primary_rows, *secondary_rows]
    return [_in_unit(row) for row in found]


def _in_unit(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers in its unit, and the unit's name."""
    unit = row["unit"]
    return row | {name: unit.of(row[name]) for name in _IN_UNITS} | {"unit": unit.name.lstrip(" -")}


def _row(test: Test, kind: str, cells: int = 1) -> dict[str, Any]:
    """Return the row of a test; ``cells`` is the number of Bonferroni intervals."""
    numbers = dict.fromkeys(_NUMBERS, math.nan)
    s = test.sample
    usable = len(s.values) > 0 and not s.problem
    if test.n >= 2 and usable:
        over_seeds = summary(s.values)
        numbers["estimate"] = test.rule.estimate(over_seeds)
        numbers["low"], numbers["high"] = test.rule.interval(over_seeds, ERROR)
        if kind == "primary":
            numbers["low_bonferroni"], numbers["high_bonferroni"] = test.rule.interval(over_seeds, ERROR / cells)
        if test.n >= MIN_SEEDS and not test.descriptive:
            numbers["p"] = test.rule.p(over_seeds, test.threshold)
    elif test.n == 1 and usable and s.values.shape[1] == 1 and test.rule == Mean():
        numbers["estimate"] = float(s.values[0, 0])
    return {
        "kind": kind,
        "cell": test.cell,
        "estimand": test.estimand + test.unit.suffix,
        **numbers,
        "n": test.n,
        "threshold": test.threshold,
        "unit": test.unit,
        "verdict": "",
        "finding": test.finding,
        "reason": f"{NOT_TESTABLE}: {test.untestable}" if test.untestable else test.obstacle,
        "warning": "; ".join(filter(None, (test.warning, s.note))),
    }


def unjudged() -> list[dict[str, Any]]:
    """Return the one row of a claim in an experiment where nothing was distilled."""
    return [_in_unit(_without_test(NOT_JUDGED, "the claims are about distillation, and there is none here"))]


def _without_test(verdict: str, reason: str) -> dict[str, Any]:
    """Return the verdict row of a claim without a test."""
    texts = {"cell": "", "estimand": "", "unit": PLAIN, "finding": "", "reason": reason, "warning": ""}
    return {"kind": "verdict", "n": 0, "verdict": verdict, **texts, **dict.fromkeys(_NUMBERS, math.nan)}


def _verdict(tests: list[Test], primary: list[dict[str, Any]], needs: str) -> dict[str, Any]:
    """Return the verdict row; it repeats the numbers of the cell that decides."""
    if needs or not tests:
        return _without_test(INCONCLUSIVE, f"needs: {needs}")
    why_not = list(dict.fromkeys(test.untestable for test in tests if test.untestable))
    able = [(test, row) for test, row in zip(tests, primary, strict=True) if not test.untestable]
    if not able:
        return _without_test(NOT_TESTABLE, "; ".join(why_not))
    tests, primary = zip(*able, strict=True)
    verdict, at, reason = _decide(tests, primary)
    warnings = [part for row in primary for part in row["warning"].split("; ") if part]
    warnings += [f"left out, {NOT_TESTABLE}: {reason}" for reason in why_not]
    return primary[at] | {
        "kind": "verdict", "n": min(test.n for test in tests), "verdict": verdict, "reason": reason,
        "warning": "; ".join(dict.fromkeys(warnings)),
    }  # fmt: skip


def _decide(tests: tuple[Test, ...], primary: tuple[dict[str, Any], ...]) -> tuple[str, int, str]:
    """Return the verdict, the position of the cell that decides, and the reason."""
    for at, test in enumerate(tests):
        for one in (test, *test.requires):
            if one.sample.problem:  # if some values are broken the others cannot be trusted either
                return INCONCLUSIVE, at, f"{one.name}: {one.sample.problem}"
    usable = [at for at, test in enumerate(tests) if not test.obstacle]
    refuted = [at for at in usable if primary[at]["high_bonferroni"] < primary[at]["threshold"]]
    if refuted:
        at = min(refuted, key=lambda i: primary[i]["high_bonferroni"] - primary[i]["threshold"])
        reason = tests[at].outcome
        if len(tests) > 1:
            bound = tests[at].unit.show(primary[at]["high_bonferroni"])
            reason += f"; the upper bound corrected for {len(tests)} primary tests, {bound}, is below that too"
        return NOT_REPRODUCED, at, reason
    needs = [(at, one.sample.needs) for at, test in enumerate(tests) for one in (test, *test.requires)]
    missing = [(at, run) for at, text in needs for run in text.split("; ") if run]
    if missing:
        return INCONCLUSIVE, missing[0][0], f"needs: {'; '.join(dict.fromkeys(run for _, run in missing))}"
    stopped = [at for at, test in enumerate(tests) if test.obstacle]
    if stopped:
        return INCONCLUSIVE, stopped[0], f"{tests[stopped[0]].name}: {tests[stopped[0]].obstacle}"
    at = min(usable, key=lambda i: primary[i]["low"] - primary[i]["threshold"])
    if primary[at]["low"] > primary[at]["threshold"]:
        others = f"; of {len(tests)} primary tests, which all pass, this one is the closest" if len(tests) > 1 else ""
        return REPRODUCED, at, tests[at].outcome + others
    return INCONCLUSIVE, at, f"{tests[at].outcome}; {tests[at].power}"
