"""The claims as a readable page: a scorecard, then every test."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from vicinal.errors import VicinalError
from vicinal.words import number, p_value

_INTRODUCTION = """# Claims

The replicate is the seed, and runs are paired by seed. A claim is *reproduced* where the 95 % interval lies above the
threshold in all primary tests, *not reproduced* where the interval corrected for their number (Bonferroni) lies below
it in some, else *inconclusive*. A primary test whose precondition is not shown to hold, by the same interval, is left
out; where none is left the claim is *not testable here*. Where nothing was distilled it is *not judged*. p is one-sided
(the estimand is not above the threshold); secondary tests are corrected by Holm within the claim and decide nothing."""
_KINDS = {"precondition": "Preconditions", "primary": "Primary tests", "secondary": "Secondary tests"}
SCORECARD = {
    "claim": "Claim",
    "verdict": "Verdict",
    "effect": "Effect [95 % interval]",
    "needed": "Needed",
    "seeds": "Seeds",
}


def scorecard(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return a line for each claim, with the keys of ``SCORECARD``.

    The effect is that of the test that decides; a claim without such a test has none.

    Args:
        table: rows of ``evaluate_claims``.

    Raises:
        VicinalError: the table was made by older code.
    """
    if not {"finding", "unit"} <= set(table):
        raise VicinalError("claims.parquet was made by an older version: make it again, ./reproduce report --from DIR")
    lines = []
    for row in table[table["kind"] == "verdict"].to_dict("records"):
        needed = "> 0" if row["threshold"] == 0 else f"> {_with_unit(row['threshold'], row['unit'])}"
        lines.append(
            {
                "claim": f"{row['claim']}: {row['title']}",
                "verdict": row["verdict"],
                "effect": row["finding"] or "–",
                "needed": needed if row["finding"] else "–",
                "seeds": str(row["n"] or "–"),
            }
        )
    return lines


def scorecard_markdown(table: pd.DataFrame) -> str:
    """Return the scorecard as a table in Markdown."""
    rows = ({**line, "verdict": f"**{line['verdict']}**"}.values() for line in scorecard(table))
    return "\n".join(_table(SCORECARD.values(), rows))


def markdown(table: pd.DataFrame) -> str:
    """Return the rows of ``evaluate_claims`` as a page in Markdown."""
    lines = [_INTRODUCTION, "", scorecard_markdown(table)]
    for verdict in table[table["kind"] == "verdict"].to_dict("records"):
        lines += ["", f"## {verdict['claim']}: {verdict['title']}", "", verdict["sentence"], ""]
        lines += [f"**{verdict['verdict'].capitalize()}**: {verdict['reason']}."]
        if verdict["warning"]:
            lines += ["", f"**Warning**: {verdict['warning']}."]
        of_claim = table[table["claim"] == verdict["claim"]]
        for kind, heading in _KINDS.items():
            rows = of_claim[of_claim["kind"] == kind].to_dict("records")
            if rows:
                lines += ["", f"### {heading}", "", *_tests(kind, rows)]
    return "\n".join(lines) + "\n"


def _tests(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of the tests of a kind; of primary ones with the corrected intervals."""
    corrected, p = kind == "primary", "p_holm" if kind == "secondary" else "p"
    head = ["Cell", "Estimand", "Estimate", "95 % interval", "Threshold", "Seeds", p.replace("_", " "), "Note"]
    if corrected:
        head.insert(4, "Corrected interval")
    lines = []
    for row in rows:
        intervals = [_interval(row["low"], row["high"])]
        if corrected:
            intervals.append(_interval(row["low_bonferroni"], row["high_bonferroni"]))
        numbers = [
            number(row["estimate"]),
            *intervals,
            number(row["threshold"]),
            row["n"],
            p_value(row[p]),
        ]
        note = "; ".join(filter(None, (row["reason"], row["warning"])))
        lines.append([row["cell"], row["estimand"], *numbers, note])
    return _table(head, lines)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"


def _with_unit(value: float, unit: str) -> str:
    return f"{number(value)}{'-' if unit == 'fold' else ' '}{unit}".strip()


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    lines = [list(head), ["---"] * len(list(head)), *rows]
    return [f"| {' | '.join(str(entry).replace('|', chr(92) + '|') for entry in line)} |" for line in lines]
