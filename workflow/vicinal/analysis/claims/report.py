"""The claims as a readable page: a scorecard, then every test."""

import math

import pandas as pd

from vicinal.words import number

_INTRODUCTION = """# Claims

The replicate is the seed, and runs are paired by seed. A claim is *reproduced* where the 95 % interval lies above the
threshold in all primary tests, *not reproduced* where the interval with Bonferroni's correction over them lies below it
in some, else *inconclusive*. A primary test whose precondition is not shown to hold, by the same interval, is left out;
where none is left the claim is *not testable here*. Where nothing was distilled it is *not judged*. p is one-sided (the
estimand is not above the threshold); secondary tests are corrected by Holm within the claim and decide nothing."""
_KINDS = {
    "precondition": ("Preconditions", "p"),
    "primary": ("Primary tests", "p"),
    "secondary": ("Secondary tests", "p_holm"),
}


def markdown(table: pd.DataFrame) -> str:
    """Return the rows of ``evaluate_claims`` as a page in Markdown."""
    verdicts = table[table["kind"] == "verdict"]
    lines = [_INTRODUCTION, "", *_table(["Claim", "Title", "Verdict", "Seeds", "Reason", "Warning"], [
        [row["claim"], row["title"], f"**{row['verdict']}**", row["n"], row["reason"], row["warning"]]
        for row in verdicts.to_dict("records")
    ])]  # fmt: skip
    for verdict in verdicts.to_dict("records"):
        lines += ["", f"## {verdict['claim']}: {verdict['title']}", "", verdict["sentence"], ""]
        lines += [f"**{verdict['verdict'].capitalize()}**: {verdict['reason']}."]
        of_claim = table[table["claim"] == verdict["claim"]]
        for kind, (heading, p) in _KINDS.items():
            rows = of_claim[of_claim["kind"] == kind].to_dict("records")
            if rows:
                head = ["Cell", "Estimand", "Estimate", "95 % interval", "Threshold", "n", p.replace("_", " "), "Note"]
                lines += ["", f"### {heading}", "", *_table(head, [_line(row, p) for row in rows])]
    return "\n".join(lines) + "\n"


def _line(row: dict, p: str) -> list:
    interval = "" if math.isnan(row["low"]) else f"[{number(row['low'])}, {number(row['high'])}]"
    numbers = [number(row["estimate"]), interval, number(row["threshold"]), row["n"], number(row[p])]
    return [row["cell"], row["estimand"], *numbers, "; ".join(filter(None, (row["reason"], row["warning"])))]


def _table(head: list[str], rows: list[list]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(entry).replace('|', chr(92) + '|') for entry in line)} |" for line in lines]
