#!/usr/bin/env python
"""How often the tests of the claims are wrong: simulated experiments with a known truth, through ``evaluate_claims``.

For each claim experiments on the boundary of its negation (one primary test exactly at its threshold, the others
clearly beyond theirs; *reproduced* is then an error), with every effect three paired standard deviations beyond the
threshold, and as far on the wrong side; and what must not pass for the effect: a perfectly linear teacher (C1), and an
under-confident student, whose OE is low for that reason alone and who must be warned of (C4). Values are normal, with a
part that all runs of a seed share.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from vicinal.analysis.claims import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, evaluate_claims

REPETITIONS, SEEDS = 1000, 5
ALLOWED, POWER = 0.05, 0.90  # of errors on the boundary; of planted effects that are found
FAR = 8.0  # paired standard deviations: beyond doubt
SHARED_SD = 0.02  # of what all runs of a seed have in common
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
_MODEL = {
    "role": "student", "data": "simulated", "model": "resnet8x4", "method": "kd_mixup", "alpha": 1.0,
    "teacher": "resnet32x4", "teacher_mixup_alpha": None, "temperature": "2", "logit_scale": 1.0, "kd_weight": 1.0,
    "ce_weight": 0.0,
}  # fmt: skip
_NO_TEACHER = {"teacher": None, "temperature": None, "logit_scale": None, "kd_weight": 0.0, "ce_weight": 1.0}


def student(method: str = "kd_mixup", **settings) -> dict:
    """Return the settings of a student."""
    own = {} if method.startswith("kd") else _NO_TEACHER
    alpha = {"alpha": 1.0 if method.endswith("mixup") else None}
    return {**_MODEL, **own, **alpha, "method": method, **settings}


def teacher(name: str = "resnet32x4") -> dict:
    """Return the settings of a teacher without mixup."""
    return {**_MODEL, **_NO_TEACHER, "role": "teacher", "model": name, "method": "ce", "alpha": None}


class Study:
    """Simulated experiments: the same runs, and for every repetition other values."""

    def __init__(self, rng: np.random.Generator, repetitions: int, seeds: int) -> None:
        """Start without runs."""
        self.rng, self.shape = rng, (repetitions, seeds)
        self.shared = rng.normal(0, SHARED_SD, self.shape)
        self.rows: dict[str, list[dict]] = {}
        self.values: dict[str, list[np.ndarray]] = {}

    def noise(self, sd: float) -> np.ndarray:
        """Return independent noise (repetitions, seeds)."""
        return self.rng.normal(0, sd, self.shape)

    def add(self, run: dict, metric: str, values: np.ndarray, table: str = "metrics", **columns) -> None:
        """Add the values (repetitions, seeds) of a metric of a run."""
        name = "_".join(str(value) for value in run.values())
        for seed in range(self.shape[1]):
            row = {"model_id": f"{name}_s{seed}", **run, "seed": seed, "split": "test", **columns, "metric": metric}
            self.rows.setdefault(table, []).append(row)
        self.values.setdefault(table, []).append(values)

    def add_reliability(self, run: dict, count: int = 10_000) -> None:
        """Add reliability bins of a run, alike for all seeds and repetitions."""
        edges = np.arange(16) / 15
        for seed in range(self.shape[1]):
            id_ = f"{'_'.join(str(value) for value in run.values())}_s{seed}"
            for b in range(15):
                self.rows.setdefault("reliability", []).append({
                    "model_id": id_, **run, "seed": seed, "low": edges[b], "high": edges[b + 1],
                    "count": count // 15, "confidence": edges[b] + 0.03, "accuracy": edges[b] + 0.03,
                })  # fmt: skip

    def tables(self) -> Iterator[dict[str, pd.DataFrame]]:
        """Yield the tables of every repetition."""
        frames = {}
        for name, rows in self.rows.items():
            frame = pd.DataFrame(rows)
            for column in ("alpha", "teacher_mixup_alpha", "logit_scale"):
                frame[column] = frame[column].astype("float64")
            texts = [column for column in frame if frame[column].dtype == object or frame[column].dtype == "str"]
            frames[name] = frame.astype(dict.fromkeys(texts, "category"))
        values = {name: np.concatenate(parts, axis=1) for name, parts in self.values.items()}
        for i in range(self.shape[0]):
            yield {
                name: frame.assign(value=values[name][i]) if name in values else frame for name, frame in frames.items()
            }


# Each of these adds the runs of one claim; ``effects`` are the distances of its tests from their thresholds, in
# standard deviations of what the test averages.


def c1(study: Study, effects: tuple[float, float]) -> None:
    """Add two teachers' explained shares."""
    for name, effect in zip(("resnet32x4", "resnet56"), effects, strict=True):
        share = 0.5 - 0.02 * effect + study.noise(0.02)
        columns = {"table": "confusion", "softmax_temperature": 2.0}
        study.add(teacher(name), "explained_share", share, **columns)


def c1_linear(study: Study, effects: tuple) -> None:
    """Add a teacher that is linear up to rounding: its share is just below 1."""
    share = 1.0 - abs(study.noise(0.001))
    study.add(teacher(), "explained_share", share, table="confusion", softmax_temperature=2.0)


def c2(study: Study, effects: tuple[float, float]) -> None:
    """Add a teacher's and a student's non-linearity, raw and matched."""
    whole = {"table": "vicinal", "pairs": "all", "lam_low": 0.0, "lam_high": 1.0}
    sd = 0.05
    for metric, effect in zip(("nonlinearity", "nonlinearity_matched"), effects, strict=True):
        study.add(teacher(), metric, 1 + study.shared + effect * sd * 2**0.5 + study.noise(sd), **whole)
        study.add(student(), metric, 1 + study.shared + study.noise(sd), **whole)


def c3(study: Study, effects: tuple[float, float, float]) -> None:
    """Add the accuracies of a student and of its baselines ce, ce_mixup and kd."""
    sd = 0.003
    study.add(student(), "accuracy", 0.75 + study.shared + study.noise(sd))
    for method, effect in zip(("ce", "ce_mixup", "kd"), effects, strict=True):
        study.add(student(method), "accuracy", 0.75 + study.shared - effect * sd * 2**0.5 + study.noise(sd))


def c4(study: Study, effects: tuple[float], under_confident: bool = False) -> None:
    """Add the OE of a student and of ce, whose logarithms are normal, with ECE and gap."""
    sd, ece = 0.1, {"ce": 0.15, "kd_mixup": 0.2 if under_confident else 0.05}
    for method in ("kd_mixup", "ce"):
        mean = np.log(0.15) - (method == "kd_mixup") * (np.log(10) / 2 + effects[0] * sd * 2**0.5)
        run = student(method)
        study.add(run, "oe", np.exp(mean + study.shared + study.noise(sd)))
        study.add(run, "ece", ece[method] + study.noise(0.001))
        sign = -1 if method == "kd_mixup" and under_confident else 1
        study.add(run, "confidence_gap", sign * (0.05 + study.noise(0.001)))
        study.add_reliability(run)


def c4_under_confident(study: Study, effects: tuple[float]) -> None:
    """Add the same of a student that is under-confident, and whose ECE is higher than that of ce."""
    c4(study, effects, under_confident=True)


def c5(study: Study, effects: tuple[float, float, float, float, float]) -> None:
    """Add teachers and students with scaled logits; effects on the slope, then on the equivalence at each scale."""
    sd_gap, sd_accuracy = 0.01, 0.01 / 3 / 2**0.5
    theirs = np.array([-0.10, -0.03, 0.05, 0.10, 0.13])
    sd_slope = sd_gap / np.sqrt(((theirs - theirs.mean()) ** 2).sum())
    equivalence = dict(zip((0.5, 0.75, 1.5, 2.0), effects[1:], strict=True))
    for c, gap in zip(SCALES, theirs, strict=True):
        of_teacher = gap + 0.1 * study.shared
        study.add(teacher(), "confidence_gap" if c == 1 else f"confidence_gap_c{c:g}", of_teacher)
        run = student(logit_scale=c)
        study.add(run, "confidence_gap", 0.1 + effects[0] * sd_slope * of_teacher + study.noise(sd_gap))
        # margin − |difference| = effect · sd
        shift = 0.01 - equivalence[c] * sd_accuracy * 2**0.5 if c != 1 else 0.0
        study.add(run, "accuracy", 0.75 + study.shared + shift + study.noise(sd_accuracy))


def c6(study: Study, effects: tuple[float, float, float]) -> None:
    """Add temperatures 1 to 16; effects on the slope of accuracy, that of |gap|, and its interaction with mixup.

    A negative second effect makes accuracy and |gap| favour the same end.
    """
    x = np.arange(5.0)
    sd = 0.002
    sd_slope = sd / np.sqrt(((x - x.mean()) ** 2).sum())
    gap_slope = effects[1] * sd_slope
    of_kd = gap_slope - np.sign(gap_slope) * effects[2] * 2**0.5 * sd_slope
    slopes = {"kd_mixup": (effects[0] * sd_slope, gap_slope), "kd": (0.0, of_kd)}
    for method, (accuracy, gap) in slopes.items():
        for log_t in x:
            run = student(method, temperature=f"{2**log_t:g}")
            study.add(run, "accuracy", 0.75 + study.shared + accuracy * log_t + study.noise(sd))
            # the shared part would cancel: it is the same at every temperature
            study.add(run, "confidence_gap", 0.3 + study.shared + gap * log_t + study.noise(sd))


def c7(study: Study, effects: tuple[float, ...]) -> None:
    """Add a ladder of teachers; effects are the student's accuracies, in paired standard deviations."""
    sd = 0.003
    for depth, effect in zip((20, 32, 44, 56, 110), effects, strict=True):
        accuracy = 0.7 + study.shared + effect * sd * 2**0.5 + study.noise(sd)
        study.add(student(model="resnet20", teacher=f"resnet{depth}"), "accuracy", accuracy)


class Scenario(NamedTuple):
    """A truth: ``boundary`` (reproduced is an error), ``planted`` (the claim holds) or ``against`` it."""

    claim: str
    truth: str
    what: str
    build: Callable[..., None]
    effects: tuple[float, ...]


SCENARIOS = [
    Scenario("C1", "boundary", "one teacher at 0.5", c1, (0, FAR)),
    Scenario("C1", "planted", "both teachers", c1, (3, 3)),
    Scenario("C1", "against", "both teachers", c1, (-3, -3)),
    Scenario("C1", "against", "a perfectly linear teacher", c1_linear, ()),
    Scenario("C2", "boundary", "raw at 0", c2, (0, FAR)),
    Scenario("C2", "boundary", "matched at 0", c2, (FAR, 0)),
    Scenario("C2", "planted", "raw and matched", c2, (3, 3)),
    Scenario("C2", "against", "raw and matched", c2, (-3, -3)),
    Scenario("C3", "boundary", "no better than kd", c3, (FAR, FAR, 0)),
    Scenario("C3", "boundary", "no better than ce", c3, (0, FAR, FAR)),
    Scenario("C3", "planted", "all baselines", c3, (3, 3, 3)),
    Scenario("C3", "against", "all baselines", c3, (-3, -3, -3)),
    Scenario("C4", "boundary", "ratio of √10", c4, (0,)),
    Scenario("C4", "planted", "ratio above √10", c4, (3,)),
    Scenario("C4", "planted", "the same, under-confident", c4_under_confident, (3,)),
    Scenario("C4", "against", "ratio below √10", c4, (-3,)),
    Scenario("C5", "boundary", "no slope", c5, (0, 3, 3, 3, 3)),
    Scenario("C5", "boundary", "accuracy at the margin", c5, (FAR, 3, 3, 3, 0)),
    Scenario("C5", "planted", "slope and equivalence", c5, (3, 3, 3, 3, 3)),
    Scenario("C5", "against", "negative slope", c5, (-FAR, 3, 3, 3, 3)),
    Scenario("C6", "boundary", "accuracy alike at every T", c6, (0, 2 * FAR, FAR)),
    Scenario("C6", "boundary", "no interaction", c6, (FAR, FAR, 0)),
    Scenario("C6", "planted", "opposite ends, interaction", c6, (3, 7, 3)),
    Scenario("C6", "against", "the same end", c6, (FAR, -FAR, FAR / 2)),
    Scenario("C7", "boundary", "flat ladder", c7, (0, 0, 0, 0, 0)),
    Scenario("C7", "boundary", "rising, flat at the top", c7, (-9, -6, -3, 0, 0)),
    Scenario("C7", "planted", "the largest is worse", c7, (0, 0, 0, 0, -3)),
    Scenario("C7", "planted", "only the second is better", c7, (-9, -6, -3, 0, -3)),
    Scenario("C7", "against", "rising", c7, (-12, -9, -6, -3, 0)),
]


def verdicts(scenario: Scenario, repetitions: int, seeds: int = SEEDS, **options) -> list[pd.Series]:
    """Return the verdict row of the scenario's claim in every repetition; seeded by the scenario."""
    rng = np.random.default_rng([*f"{scenario.claim} {scenario.truth} {scenario.what}".encode(), seeds])
    study = Study(rng, repetitions, seeds)
    scenario.build(study, scenario.effects, **options)
    found = []
    for tables in study.tables():
        table = evaluate_claims(tables)
        found.append(table[(table["claim"] == scenario.claim) & (table["kind"] == "verdict")].iloc[0])
    return found


def rates(scenario: Scenario, repetitions: int, seeds: int = SEEDS) -> dict[str, int]:
    """Return how often each verdict was given."""
    return count(verdicts(scenario, repetitions, seeds))


def count(rows: list[pd.Series]) -> dict[str, int]:
    """Return how often each verdict stands in verdict rows."""
    counts = Counter(row["verdict"] for row in rows)
    return {verdict: counts[verdict] for verdict in (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)}


def most(repetitions: int, rate: float) -> int:
    """Return the number of events that one of ``rate`` exceeds with probability 1 % at most (exact binomial)."""
    return int(binom.ppf(0.99, repetitions, rate))


def passes(scenario: Scenario, counts: dict[str, int]) -> bool:
    """Return whether the counts agree with the limits: errors at most ``ALLOWED``, power at least ``POWER``."""
    n = sum(counts.values())
    found, refuted = counts[REPRODUCED], counts[NOT_REPRODUCED]
    if scenario.truth == "boundary":
        return found <= most(n, ALLOWED)
    if scenario.truth == "planted":
        return n - found <= most(n, 1 - POWER) and refuted <= most(n, ALLOWED)
    return found <= most(n, ALLOWED) and n - refuted <= most(n, 1 - POWER)


def warned_rightly(scenario: Scenario, rows: list[pd.Series]) -> bool:
    """Return whether verdicts on an under-confident student all have the warning of it, and others have no warning."""
    if scenario.build is c4_under_confident:
        return all("under-confident" in row["warning"] and "ECE is not lower" in row["warning"] for row in rows)
    return not any(row["warning"] for row in rows)


def main() -> None:
    """Run every scenario and print the rates, and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="simulated experiments a scenario")
    repetitions = parser.parse_args().repetitions
    start, records = time.perf_counter(), []
    head = ("claim", "truth", "what", "reproduced", "not repr.", "inconcl.", "warned", "2 seeds", "passes")
    print("{:6}{:10}{:28}{:>11}{:>11}{:>10}{:>8}{:>14}  {}".format(*head))
    for scenario in SCENARIOS:
        rows = verdicts(scenario, repetitions)
        counts, warned = count(rows), sum(bool(row["warning"]) for row in rows)
        few = rates(scenario, max(1, repetitions // 10), seeds=2)
        ok = passes(scenario, counts) and warned_rightly(scenario, rows) and not few[REPRODUCED] + few[NOT_REPRODUCED]
        shares = [f"{number / repetitions:.1%}" for number in (*counts.values(), warned)]
        of_few = f"{few[INCONCLUSIVE] / sum(few.values()):.0%} inconcl."
        print("{:6}{:10}{:28}{:>11}{:>11}{:>10}{:>8}{:>14}  {}".format(*scenario[:3], *shares, of_few, ok), flush=True)
        records.append(
            {**scenario._asdict(), "build": scenario.build.__name__, **counts, "warned": warned, "passes": ok}
        )
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"repetitions": repetitions, "seeds": SEEDS, "seconds": seconds, "scenarios": records}))


if __name__ == "__main__":
    main()
