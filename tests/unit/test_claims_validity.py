"""The tests of the claims on simulated experiments with a known truth: error rates and power."""

import pytest
from planted_claims import simulated, simulation

from vicinal.analysis.claims import INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, evaluate_claims

# A short run finds gross errors, a long one what is a little off: the seeds are fixed.
REPETITIONS = [20, pytest.param(simulation.REPETITIONS, marks=pytest.mark.long)]


def name(scenario):
    return f"{scenario.claim}-{scenario.truth}-{scenario.what}".replace(" ", "_")


def of_truth(truth):
    return [scenario for scenario in simulation.SCENARIOS if scenario.truth == truth]


@pytest.mark.parametrize("repetitions", REPETITIONS)
@pytest.mark.parametrize("scenario", simulation.SCENARIOS, ids=name)
def test_error_rates_and_power_are_within_their_limits(scenario, repetitions):
    rows = simulation.verdicts(scenario, repetitions)
    counts = simulation.count(rows)
    assert sum(counts.values()) == repetitions
    assert simulation.passes(scenario, counts), counts
    assert simulation.warned_rightly(scenario, rows)


@pytest.mark.parametrize("scenario", of_truth("planted"), ids=name)
def test_the_simulation_gives_the_verdicts_of_the_tables(scenario):
    """The tables of all repetitions are read only once."""
    quick = simulation.verdicts(scenario, 2)
    for row, tables in zip(quick, simulation.study_of(scenario, 2).tables(), strict=True):
        table = evaluate_claims(tables)
        [whole] = table[(table["claim"] == scenario.claim) & (table["kind"] == "verdict")].to_dict("records")
        assert {key: whole[key] for key in row} == pytest.approx(row, nan_ok=True)


@pytest.mark.parametrize("scenario", of_truth("planted") + of_truth("against") + of_truth("untestable"), ids=name)
@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_decided(scenario, seeds):
    for row in simulation.verdicts(scenario, 4, seeds=seeds):
        assert row["verdict"] == INCONCLUSIVE
        assert f"{seeds} seed" in row["reason"]
        assert row["n"] == seeds


def test_limits_are_those_of_the_exact_binomial():
    assert simulation.most(1000, simulation.ALLOWED) == 67  # 6.7 % of 1,000
    scenario = of_truth("boundary")[0]
    at_limit = {REPRODUCED: 67, NOT_REPRODUCED: 0, INCONCLUSIVE: 933, NOT_TESTABLE: 0}
    above = {REPRODUCED: 68, NOT_REPRODUCED: 0, INCONCLUSIVE: 932, NOT_TESTABLE: 0}
    assert simulation.passes(scenario, at_limit)
    assert not simulation.passes(scenario, above)


def test_an_under_confident_student_never_passes_c4_without_a_warning():
    scenario = next(s for s in of_truth("planted") if s.claim == "C4-CE")
    rows = simulation.verdicts(scenario, 5, under_confident=True)
    assert any(row["verdict"] == REPRODUCED for row in rows)
    for row in rows:
        warnings = row["warning"].split("; ")
        assert len(warnings) == 2
        assert all(warning.startswith("resnet32x4 → resnet8x4, T = 2, vs CE: ") for warning in warnings)
        assert "under-confident" in warnings[0]
        assert "ECE is not lower" in warnings[1]


def test_a_calibrated_student_passes_c4_without_a_warning():
    scenario = next(s for s in of_truth("planted") if s.claim == "C4-CE")
    assert {row["warning"] for row in simulation.verdicts(scenario, 5)} == {""}


@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-3])
def test_a_linear_teacher_never_gives_c1(spread):
    study = simulated.Study(simulation.np.random.default_rng(3), 20, 5)
    for metric in ("explained_share", "explained_share_logits"):
        share = 1.0 - abs(study.noise(1.0)) * spread
        study.add(simulated.teacher(), metric, share, table="confusion", softmax_temperature=2.0)
    found = [evaluate_claims(tables) for tables in study.tables()]
    verdicts = {table.loc[table["claim"] == "C1", "verdict"].iloc[0] for table in found}
    assert verdicts <= {NOT_REPRODUCED, INCONCLUSIVE}
    if spread == 1e-3:
        assert verdicts == {NOT_REPRODUCED}
