"""Tables of simulated experiments in which a claim holds, and its rows."""

import sys
from pathlib import Path

import numpy as np

from vicinal.analysis import claims
from vicinal.analysis.claims import evaluate_claims

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import claims_validity as simulation
import simulated_claims as simulated

NAMES = list(claims.CLAIMS)


def planted(claim, seeds=5, **options):
    """Return the tables of one simulated experiment in which a claim holds, with room to spare."""
    scenario = next(s for s in simulation.SCENARIOS if s.claim == claim and s.truth == "planted")
    study = simulated.Study(np.random.default_rng(7), 1, seeds)
    effects = (8, 3, 3, 3, 3) if claim == "C5" else tuple(2 * effect for effect in scenario.effects)
    scenario.build(study, effects, **options)
    return next(iter(study.tables()))


def rows(tables, claim, kind=None):
    table = evaluate_claims(tables)
    table = table[table["claim"] == claim]
    return (table[table["kind"] == kind] if kind else table).reset_index(drop=True)


def verdict(tables, claim):
    return rows(tables, claim, "verdict").iloc[0]


def changed(tables, claim_rows, value, table="metrics"):
    """Return the tables with new values in the rows for which ``claim_rows`` holds."""
    frame = tables[table]
    chosen = claim_rows(frame)
    assert chosen.any()
    return {**tables, table: frame.assign(value=frame["value"].mask(chosen, value))}
