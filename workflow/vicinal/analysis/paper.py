"""Tables for a paper: results over seeds as LaTeX (booktabs) and Markdown, verdicts as LaTeX."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from vicinal.analysis.runs import runs_context
from vicinal.words import number

_HEAD = "% Needs booktabs. {what} From {name}."
# What is no letter of LaTeX, also not of one that reads UTF-8.
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"$|$", "<": "$<$", ">": "$>$", "→": r"$\to$",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "√": r"$\surd$", "‖": r"$\|$", "≤": r"$\le$",
    "≥": r"$\ge$", "≈": r"$\approx$", "²": "$^2$", "α": r"$\alpha$", "λ": r"$\lambda$", "ρ": r"$\rho$",
    "\u00a0": "~", "–": "--",
}  # fmt: skip


def latex(text: str) -> str:
    """Return a text with what LaTeX would misread replaced."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def summary_tables(metrics: pd.DataFrame, name: str) -> tuple[str, str]:
    """Return the results on the test split over seeds, as LaTeX and as Markdown.

    Mean ± sd (n − 1); the best mean among the students of one architecture is bold, all that are printed alike.

    Args:
        metrics: the table, each temperature one text (``schema.one_temperature``).
        name: of the experiment.
    """
    runs = runs_context(metrics)
    shown = [i for i, metric in enumerate(runs["metrics"]) if metric["main"]]
    heads = ["Setting", "Seeds", *(runs["metrics"][i]["heading"] for i in shown)]
    kinds = [_kind(row, runs["settings"]) for row in runs["summary"]]
    lines, rows = [], []
    for row, kind in zip(runs["summary"], kinds, strict=True):
        peers = [own for own, other in zip(runs["summary"], kinds, strict=True) if other == kind]
        cells = [_cell(runs["metrics"][i], i, row, peers if kind[0] == "student" else []) for i in shown]
        lines.append([latex(row["name"]), str(row["n"]), *(_bold(latex(text), best) for text, best in cells)])
        rows.append([row["name"], row["n"], *(f"**{text}**" if best else text for text, best in cells)])
    what = "Test split, mean and sd over seeds; best mean among the students of one architecture in bold."
    starts = [i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]]
    tex = _tabular([_HEAD.format(what=what, name=latex(name))], "lr" + "r" * len(shown), heads, lines, starts)
    return tex, markdown_table(heads, rows)


def claims_table(claims: pd.DataFrame, name: str) -> str:
    """Return the verdicts as LaTeX: claim, verdict, estimate with its 95 % interval, threshold and seeds.

    Args:
        claims: the rows of ``evaluate_claims``.
        name: of the experiment.
    """
    heads = ["Claim", "", "Verdict", "Estimate [95 % interval]", "Threshold", "Unit", "Seeds"]
    lines = []
    for row in claims[claims["kind"] == "verdict"].to_dict("records"):
        bounds = "" if math.isnan(row["low"]) else f" [{number(row['low'])}, {number(row['high'])}]"
        own = [row["claim"], row["title"], row["verdict"], number(row["estimate"]) + bounds]
        own += [number(row["threshold"]), row["unit"]]
        lines.append([*map(latex, own), str(row["n"])])
    what = "The estimate is that of the primary test that decides."
    return _tabular([_HEAD.format(what=what, name=latex(name))], "lllrrlr", heads, lines, [])


def markdown_table(heads: list[str], rows: list[list[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(str(entry).replace('|', chr(92) + '|') for entry in line)} |\n" for line in lines)


def _kind(row: Mapping[str, Any], settings: Mapping[str, str]) -> tuple[str, str]:
    """Return whose results are compared: role and, for students, the architecture."""
    own = dict(zip(settings, row["settings"], strict=True))
    return own["role"], own["model"] if own["role"] == "student" else ""


def _cell(metric: Mapping[str, Any], i: int, row: Mapping[str, Any], peers: list) -> tuple[str, bool]:
    """Return mean ± sd as text, and whether it is the best of the ``peers``."""
    mean, sd = (number(row[key][i], metric["format"]) for key in ("means", "sds"))
    others = [peer["means"][i] for peer in peers if not math.isnan(peer["means"][i])]
    best = len(others) > 1 and metric["best"] and number(metric["best"](others), metric["format"]) == mean
    return f"{mean} ± {sd}" if sd else mean, bool(best)


def _bold(text: str, best: bool) -> str:
    return f"\\textbf{{{text}}}" if best else text


def _tabular(head: list[str], columns: str, heads: list[str], lines: list[list[str]], starts: list[int]) -> str:
    body = []
    for i, line in enumerate(lines):
        body += [*([r"\midrule"] if i in starts else []), f"{' & '.join(line)} \\\\"]
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", f"{' & '.join(map(latex, heads))} \\\\", r"\midrule"]
    return "\n".join([*head, *top, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
