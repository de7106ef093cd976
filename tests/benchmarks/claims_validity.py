#!/usr/bin/env python
"""How often the tests of the claims are wrong: simulated experiments with a known truth, through the claims' own code.

For each claim experiments on the boundary of its negation (one primary test exactly at its threshold, the others
clearly beyond theirs; *reproduced* is then an error), with every effect three paired standard deviations beyond the
threshold, and as far on the wrong side; what must not pass for the effect: a perfectly linear teacher (C1), and an
under-confident student, whose OE is low for that reason alone and who must be warned of (C4); and experiments that
cannot test a claim, because a precondition does not hold. Values are normal, with a part that all runs of a seed share.
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import simulated_claims as simulated
from scipy.stats import binom
from simulated_claims import FAR

from vicinal.analysis.claims import CLAIMS, INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED
from vicinal.analysis.claims.verdict import rows

REPETITIONS, SEEDS = 1000, 5
ALLOWED, POWER = 0.05, 0.90  # of errors on the boundary; of planted effects that are found


class Scenario(NamedTuple):
    """A truth: ``boundary`` (reproduced is an error), ``planted`` (the claim holds), ``against`` it, or ``untestable``.

    ``warning`` is said by every verdict; None: chance decides.
    """

    claim: str
    truth: str
    what: str
    build: Callable[..., None]
    effects: tuple[float, ...]
    warning: str | None = ""


_REORDERED = "which is not that of their size"
SCENARIOS = [
    Scenario("C1", "boundary", "one teacher at 0.5", simulated.c1, (0, FAR)),
    Scenario("C1", "planted", "both teachers", simulated.c1, (3, 3)),
    Scenario("C1", "against", "both teachers", simulated.c1, (-3, -3)),
    Scenario("C1", "against", "a perfectly linear teacher", simulated.c1_linear, ()),
    Scenario("C2", "boundary", "raw at 0", simulated.c2, (0, FAR, FAR)),
    Scenario("C2", "boundary", "matched at 0", simulated.c2, (FAR, 0, FAR)),
    Scenario("C2", "boundary", "imitation weight of kd", simulated.c2, (FAR, FAR, 0)),
    Scenario("C2", "planted", "all three", simulated.c2, (3, 3, 3)),
    Scenario("C2", "against", "raw and matched", simulated.c2, (-3, -3, 3)),
    Scenario("C2", "against", "smaller imitation weight", simulated.c2, (3, 3, -3)),
    Scenario("C3-CE", "boundary", "no better than ce", simulated.c3, (0, FAR)),
    Scenario("C3-CE", "planted", "better than ce", simulated.c3, (3, 0)),
    Scenario("C3-CE", "against", "worse than ce", simulated.c3, (-3, FAR)),
    Scenario("C3-CE", "untestable", "teacher as good as ce", simulated.c3_poor_teacher, (3, 3)),
    Scenario("C3-KD", "boundary", "no better than kd", simulated.c3, (FAR, 0)),
    Scenario("C3-KD", "planted", "better than kd", simulated.c3, (0, 3)),
    Scenario("C3-KD", "against", "worse than kd", simulated.c3, (FAR, -3)),
    Scenario("C4-CE", "boundary", "ratio of √10", simulated.c4, (0,)),
    Scenario("C4-CE", "boundary", "√10, calibrated student", simulated.c4_calibrated, (math.sqrt(10),), None),
    Scenario("C4-CE", "planted", "ratio above √10", simulated.c4, (3,)),
    Scenario("C4-CE", "planted", "10, calibrated student", simulated.c4_calibrated, (10,)),
    Scenario("C4-CE", "planted", "the same, under-confident", simulated.c4_under_confident, (3,), "ECE is not lower"),
    Scenario("C4-CE", "against", "ratio below √10", simulated.c4, (-3,)),
    Scenario("C4-KD", "boundary", "ratio of √10", simulated.c4_kd, (0,)),
    Scenario("C4-KD", "planted", "ratio above √10", simulated.c4_kd, (3,)),
    Scenario("C4-KD", "against", "ratio below √10", simulated.c4_kd, (-3,)),
    Scenario("C4-CE", "untestable", "OE(ce) at its floor", simulated.c4_calibrated, (1,)),
    Scenario("C5", "boundary", "no slope", simulated.c5, (0, 3, 3, 3, 3)),
    Scenario("C5", "boundary", "accuracy at the margin", simulated.c5, (FAR, 3, 3, 3, 0)),
    Scenario("C5", "planted", "slope and equivalence", simulated.c5, (3, 3, 3, 3, 3)),
    Scenario("C5", "against", "negative slope", simulated.c5, (-FAR, 3, 3, 3, 3)),
    Scenario("C5", "boundary", "no slope, three scales", simulated.c5_three, (0, 3, 3)),
    Scenario("C5", "boundary", "margin, three scales", simulated.c5_three, (FAR, 3, 0)),
    Scenario("C5", "planted", "both, three scales", simulated.c5_three, (3, 3, 3)),
    Scenario("C5", "against", "negative, three scales", simulated.c5_three, (-FAR, 3, 3)),
    Scenario("C6", "boundary", "accuracy alike at every T", simulated.c6, (0, FAR, FAR)),
    Scenario("C6", "boundary", "ECE alike at every T", simulated.c6, (FAR, 0, FAR)),
    Scenario("C6", "boundary", "no interaction", simulated.c6, (FAR, FAR, 0)),
    Scenario("C6", "boundary", "flat gaps, noise with mixup", simulated.c6_noisy, (FAR, FAR, math.nan)),
    Scenario("C6", "planted", "opposite ends, interaction", simulated.c6, (3, 3, 3)),
    Scenario("C6", "planted", "the same, gap through 0", simulated.c6_sign_changes, (3, 3, 3)),
    Scenario("C6", "against", "the same end", simulated.c6, (FAR, -FAR, FAR / 2)),
    Scenario("C6", "against", "kd is steeper", simulated.c6, (FAR, FAR, -3)),
    Scenario("C7", "boundary", "flat ladder", simulated.c7, (0, 0, 0, 0, 0)),
    Scenario("C7", "boundary", "flat, teachers alike", simulated.c7_alike, (0, 0, 0, 0, 0), None),
    Scenario("C7", "boundary", "rising, flat at the top", simulated.c7, (-9, -6, -3, 0, 0)),
    Scenario("C7", "planted", "the largest is worse", simulated.c7, (0, 0, 0, 0, -3)),
    Scenario("C7", "planted", "only the second is better", simulated.c7, (-9, -6, -3, 0, -3)),
    Scenario(
        "C7", "planted", "falls with teachers' accuracy", simulated.c7_largest_is_worst, (0, 0, 0, -3, 0), _REORDERED
    ),
    Scenario("C7", "against", "rising", simulated.c7, (-12, -9, -6, -3, 0)),
    Scenario(
        "C7",
        "against",
        "rises with teachers' accuracy",
        simulated.c7_largest_is_worst,
        (-9, -6, -3, 0, -12),
        _REORDERED,
    ),
]


def verdicts(scenario: Scenario, repetitions: int, seeds: int = SEEDS, **options) -> list[dict]:
    """Return the verdict row of the scenario's claim in every repetition; seeded by the scenario."""
    return [
        rows(*CLAIMS[scenario.claim].tests(runs))[0]
        for runs in study_of(scenario, repetitions, seeds, **options).runs()
    ]


def study_of(scenario: Scenario, repetitions: int, seeds: int = SEEDS, **options) -> simulated.Study:
    """Return the simulated experiments of a scenario."""
    rng = np.random.default_rng([*f"{scenario.claim} {scenario.truth} {scenario.what}".encode(), seeds])
    study = simulated.Study(rng, repetitions, seeds)
    scenario.build(study, scenario.effects, **options)
    return study


def rates(scenario: Scenario, repetitions: int, seeds: int = SEEDS) -> dict[str, int]:
    """Return how often each verdict was given."""
    return count(verdicts(scenario, repetitions, seeds))


def count(rows: list[dict]) -> dict[str, int]:
    """Return how often each verdict stands in verdict rows."""
    counts = Counter(row["verdict"] for row in rows)
    return {verdict: counts[verdict] for verdict in (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTABLE)}


def most(repetitions: int, rate: float) -> int:
    """Return the number of events that one of ``rate`` exceeds with probability 1 % at most (exact binomial)."""
    return int(binom.ppf(0.99, repetitions, rate))


def passes(scenario: Scenario, counts: dict[str, int]) -> bool:
    """Return whether the counts agree with the limits: errors at most ``ALLOWED``, power at least ``POWER``."""
    n = sum(counts.values())
    found, refuted = counts[REPRODUCED], counts[NOT_REPRODUCED]
    if scenario.truth == "untestable":
        return n - counts[NOT_TESTABLE] <= most(n, ALLOWED)
    if scenario.truth == "boundary":
        return found <= most(n, ALLOWED)
    if scenario.truth == "planted":
        return n - found <= most(n, 1 - POWER) and refuted <= most(n, ALLOWED)
    return found <= most(n, ALLOWED) and n - refuted <= most(n, 1 - POWER)


def warned_rightly(scenario: Scenario, rows: list[dict]) -> bool:
    """Return whether each verdict has the warning that it must have, and no other."""
    if scenario.warning:
        return all(scenario.warning in row["warning"] for row in rows)
    return scenario.warning is None or not any(row["warning"] for row in rows)


def main() -> None:
    """Run every scenario and print the rates, and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="simulated experiments a scenario")
    repetitions = parser.parse_args().repetitions
    start, records = time.perf_counter(), []
    head = (
        "claim",
        "truth",
        "what",
        "reproduced",
        "not repr.",
        "inconcl.",
        "not testable",
        "warned",
        "2 seeds",
        "passes",
    )
    line = "{:6}{:11}{:30}{:>11}{:>11}{:>10}{:>13}{:>8}{:>14}  {}"
    print(line.format(*head))
    for scenario in SCENARIOS:
        found = verdicts(scenario, repetitions)
        counts, warned = count(found), sum(bool(row["warning"]) for row in found)
        few = rates(scenario, max(1, repetitions // 10), seeds=2)
        ok = passes(scenario, counts) and warned_rightly(scenario, found) and few[INCONCLUSIVE] == sum(few.values())
        shares = [f"{number / repetitions:.1%}" for number in (*counts.values(), warned)]
        of_few = f"{few[INCONCLUSIVE] / sum(few.values()):.0%} inconcl."
        print(line.format(*scenario[:3], *shares, of_few, ok), flush=True)
        records.append(
            {**scenario._asdict(), "build": scenario.build.__name__, **counts, "warned": warned, "passes": ok}
        )
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"repetitions": repetitions, "seeds": SEEDS, "seconds": seconds, "scenarios": records}))


if __name__ == "__main__":
    main()
