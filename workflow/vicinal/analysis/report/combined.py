"""What the combined report of several experiments says, as plain data for its template."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vicinal.analysis.claims import CLAIMS, INCONCLUSIVE, NOT_JUDGED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED
from vicinal.analysis.report.context import (
    MISSING,
    OF_CLAIM,
    Inputs,
    came_out,
    claim_section,
    commands,
    facts,
    place_figures,
    tally,
)
from vicinal.analysis.report.figures import embed, must_shrink
from vicinal.analysis.report.published import published_context
from vicinal.analysis.report.records import STEPS, provenance_context

AGREE, DISAGREE, OPEN, UNDECIDED, ALONE = "Agree", "Disagree", "Open", "Undecided", "One experiment"


def combined_context(
    inputs: list[Inputs],
    name: str,
    links: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the context of ``combined.html.j2``.

    Args:
        inputs: of each experiment, at least one; no two have one name.
        name: of the collection.
        links: for each experiment's name the path of its own report from this one; default ../NAME/report.html.
        skipped: the reason for each experiment of the collection that was left out.
    """
    links = links or {experiment.name: f"../{experiment.name}/report.html" for experiment in inputs}
    links = {key: quote(path) for key, path in links.items()}
    sections = {experiment.name: [claim_section(claim, experiment) for claim in CLAIMS] for experiment in inputs}
    drawn = {own.name: {name: own.figures[name] for name in claimed_figures(own)} for own in inputs}
    shrink = must_shrink([figure for figures in drawn.values() for figure in figures.values()])
    for at, (key, figures) in enumerate(drawn.items(), start=1):
        embedded = {name: {**embed(figure, shrink), "id": f"{at}-{name}"} for name, figure in figures.items()}
        place_figures(dict(zip(CLAIMS, sections[key], strict=True)), embedded)
    # An experiment that no claim is about is only compared with the published numbers.
    judged = [key for key, own in sections.items() if any(section["verdict"] != NOT_JUDGED for section in own)]
    shown = judged or list(sections)
    claims = []
    for place, claim in enumerate(CLAIMS):
        cells = [{**sections[key][place], "experiment": key, "link": f"{links[key]}#{claim}"} for key in shown]
        together = agreement({cell["experiment"]: cell["verdict"] for cell in cells})
        own = {key: cells[0][key] for key in ("id", "title", "sentence")}
        claims.append({**own, "cells": cells, "agreement": together})
    records = {step: [record for own in inputs for record in own.records.get(step, [])] for step in STEPS}
    return {
        "name": name,
        "headline": ", ".join(f"{came_out(sections[key])} in {key}" for key in shown),
        "experiments": [
            {
                "name": own.name,
                "link": links[own.name],
                "facts": facts(own.metrics),
                "tally": tally(sections[own.name]),
                "steps": provenance_context(own.records)["steps"],
            }
            for own in inputs
        ],
        "links": links,
        "judged": shown,
        "unjudged": [key for key in sections if key not in shown],
        "skipped": dict(skipped or {}),
        "claims": claims,
        "missing": MISSING,
        "summary": _summary([claim["agreement"]["word"] for claim in claims]),
        "published": published_context(
            {own.name: own.metrics for own in inputs if own.metrics is not None}, inputs[0].published
        ),
        "without_metrics": [own.name for own in inputs if own.metrics is None],
        "command": "\n".join(_commands(inputs)),
        "provenance": provenance_context(records),
    }


def claimed_figures(inputs: Inputs) -> list[str]:
    """Return the names of those figures of an experiment that the claims are shown with, in their order."""
    return [
        name for name in dict.fromkeys(name for names in OF_CLAIM.values() for name in names) if name in inputs.figures
    ]


def agreement(verdicts: Mapping[str, str]) -> dict[str, str]:
    """Return whether experiments agree on a claim: ``word``, and what follows it, ``detail``.

    Args:
        verdicts: by experiment. All but *reproduced* and *not reproduced* are undecided.
    """
    by_verdict: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        by_verdict.setdefault(verdict, []).append(name)
    order = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTABLE, NOT_JUDGED, MISSING)
    given = sorted(by_verdict, key=lambda verdict: order.index(verdict) if verdict in order else len(order))
    decided = [verdict for verdict in given if verdict in (REPRODUCED, NOT_REPRODUCED)]
    if len(verdicts) == 1:
        word = ALONE
    elif not decided:
        word = UNDECIDED
    elif len(decided) == 2:
        word = DISAGREE
    else:
        word = AGREE if len(given) == 1 else OPEN
    if len(given) == 1:
        everywhere = f" in {'both' if len(verdicts) == 2 else f'all {len(verdicts)}'}" if len(verdicts) > 1 else ""
        return {"word": word, "detail": f": {given[0]}{everywhere}"}
    parts = [f"{verdict} in {_listed(by_verdict[verdict])}" for verdict in given]
    return {"word": word, "detail": f": {', '.join(parts)}"}


def _summary(words: list[str]) -> str:
    """Return the sentence that says on how many verdicts the experiments agree."""
    if ALONE in words:
        return "One experiment: there is nothing to compare it with."
    texts = {
        AGREE: "agree on {}",
        DISAGREE: "disagree on {}",
        OPEN: "leave {} open (decided in some experiments only)",
        UNDECIDED: "decide nothing on {}",
    }
    parts = [text.format(words.count(word)) for word, text in texts.items() if word in words]
    return f"Of {len(words)} verdicts the experiments {_listed(parts)}."


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _commands(inputs: list[Inputs]) -> list[str]:
    """Return the commands of all experiments, with a checkout only where the revision changes."""
    found: list[str] = []
    revision = None
    for experiment in inputs:
        *checkout, command = commands(experiment)
        if checkout and checkout[0] != revision:
            revision = checkout[0]
            found.append(revision)
        found.append(command)
    return found
