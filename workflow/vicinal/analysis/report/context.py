"""What a report says, as plain data for its template."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from vicinal.analysis.claims import CLAIMS, INCONCLUSIVE, NOT_JUDGED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED
from vicinal.analysis.report.figures import Figure, embed, must_shrink
from vicinal.analysis.report.published import published_context
from vicinal.analysis.report.records import provenance_context, revision_of
from vicinal.analysis.runs import runs_context
from vicinal.analysis.schema import STUDENT, TEACHER

# The figures of each claim's section; a figure of two claims is shown at the first and linked from the second.
OF_CLAIM = {
    "C1": ("confusion", "similarity"),
    "C2": ("imitation", "nonlinearity"),
    "C3-CE": ("temperature",),
    "C3-KD": ("temperature",),
    "C4-CE": ("overconfidence", "reliability"),
    "C4-KD": ("overconfidence", "reliability"),
    "C5": ("inheritance",),
    "C6": ("plane", "temperature"),
    "C7": ("capacity",),
}
# The figure that has a section of its own if the config asks for corrupted images, and else is not shown.
CORRUPTIONS = "corruptions"
MISSING = "no verdict"
DRAWN = ("low", "high", "estimate", "threshold")  # numbers of a test that its plot shows
MARKS = {  # the class of the style sheet and the symbol: a verdict is never shown by its colour alone
    REPRODUCED: ("yes", "✓"),
    NOT_REPRODUCED: ("no", "✗"),
    INCONCLUSIVE: ("open", "?"),
    NOT_TESTABLE: ("open", "∅"),
    NOT_JUDGED: ("open", "–"),
    MISSING: ("open", "–"),
}


@dataclass
class Inputs:
    """All that a report is made from; None or empty if a file is missing."""

    name: str
    claims: pd.DataFrame | None
    metrics: pd.DataFrame | None
    published: pd.DataFrame
    figures: dict[str, Figure] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    data_notes: list[str] = field(default_factory=list)  # what a user should know of the data set, a line each
    corruptions: dict[str, Any] | None = None  # whether there were corrupted images; None: nobody asked for them
    config: str | None = None  # the settings of this run, YAML
    made_from: dict[str, str] = field(default_factory=dict)  # SHA-256 by file: tables and figures


def context(inputs: Inputs) -> dict[str, Any]:
    """Return the context of ``report.html.j2``."""
    sections = {name: claim_section(name, inputs) for name in CLAIMS}
    shrink = must_shrink(list(inputs.figures.values()))
    embedded = {name: {**embed(figure, shrink), "id": name} for name, figure in inputs.figures.items()}
    placed = place_figures(sections, embedded)
    claimed = {name for names in OF_CLAIM.values() for name in names}
    others = sorted({*inputs.figures, "training"} - claimed - {CORRUPTIONS})
    metrics = inputs.metrics
    return {
        "name": inputs.name,
        "headline": f"{came_out(sections.values())} on {facts(metrics).get('Data', inputs.name)}",
        "command": "\n".join(commands(inputs)),
        "config": inputs.config,
        "facts": facts(metrics) | ({"Notes on the data": "; ".join(inputs.data_notes)} if inputs.data_notes else {}),
        "tally": tally(sections.values()),
        "sections": list(sections.values()),
        "figures": [_place(name, "", embedded, placed) for name in others],
        "corruptions": inputs.corruptions and _corruptions(inputs.corruptions, embedded, placed),
        "shrunk": shrink,
        "published": None if metrics is None else published_context({inputs.name: metrics}, inputs.published),
        "runs": None if metrics is None else runs_context(metrics),
        "provenance": provenance_context(inputs.records),
    }


def claim_section(name: str, inputs: Inputs) -> dict[str, Any]:
    """Return what a page says of a claim: verdict, reason, the numbers of the test that decides, all its tests."""
    section = {
        "id": name, "title": CLAIMS[name].title, "sentence": CLAIMS[name].sentence, "verdict": MISSING, "reason": "",
        "warning": "", "n": 0, "cell": "", "estimand": "", "precondition": [], "primary": [], "secondary": [],
    }  # fmt: skip
    section |= dict.fromkeys(("estimate", "low", "high", "threshold"), math.nan)
    rows = [] if inputs.claims is None else inputs.claims[inputs.claims["claim"] == name].to_dict("records")
    for row in rows:
        if row["kind"] == "verdict":
            section |= {key: row[key] for key in section.keys() & row.keys()}
        elif row["kind"] in ("precondition", "primary", "secondary"):
            section[row["kind"]].append(_test(row))  # type: ignore[attr-defined]
    for kind in ("precondition", "primary", "secondary"):
        _draw_intervals(section[kind])
    if section["verdict"] == MISSING:
        absent = "claims.parquet is missing" if inputs.claims is None else f"claims.parquet has no verdict on {name}"
        section["reason"] = f"{absent}: run ./reproduce to make it"
    # A verdict that this code does not know is shown as it is, undecided.
    section["mark"], section["symbol"] = MARKS.get(section["verdict"], MARKS[MISSING])
    return section


def place_figures(sections: Mapping[str, dict[str, Any]], embedded: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Give the section of each claim its ``figures``; return the claim at which each figure is shown, by its name."""
    placed: dict[str, str] = {}
    for claim, section in sections.items():
        section["figures"] = [_place(name, claim, embedded, placed) for name in OF_CLAIM[claim]]
    return placed


def came_out(sections: Iterable[Mapping[str, Any]]) -> str:
    """Return in a few words what came out: ``1 of 9 reproduced``."""
    verdicts = [section["verdict"] for section in sections]
    if set(verdicts) <= {NOT_JUDGED, MISSING}:
        return "no verdict" if MISSING in verdicts else "nothing distilled"
    return f"{verdicts.count(REPRODUCED)} of {len(verdicts)} reproduced"


def tally(sections: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, int]]:
    """Return each verdict given, its mark, its symbol and how often it was given."""
    verdicts = [section["verdict"] for section in sections]
    return [(verdict, *MARKS[verdict], verdicts.count(verdict)) for verdict in MARKS if verdict in verdicts]


def facts(metrics: pd.DataFrame | None) -> dict[str, str]:
    """Return an experiment's data and its numbers of models, teachers, students and seeds; empty without metrics."""
    if metrics is None:
        return {}
    models = metrics.drop_duplicates("model_id")
    return {
        "Data": ", ".join(sorted(map(str, models["data"].unique()))),
        "Models": str(len(models)),
        "Teachers": str((models["role"] == TEACHER).sum()),
        "Students": str((models["role"] == STUDENT).sum()),
        "Seeds": str(models["seed"].nunique()),
    }


def _test(row: dict[str, Any]) -> dict[str, Any]:
    p = row["p_holm"] if row["kind"] == "secondary" else row["p"]
    note = "; ".join(filter(None, (row["reason"], row["warning"])))
    keys = ("cell", "estimand", "estimate", "low", "high", "low_bonferroni", "high_bonferroni", "threshold", "n")
    return {**{key: row[key] for key in keys}, "p": p, "note": note, "plot": None}


def _draw_intervals(tests: list[dict[str, Any]]) -> None:
    """Set ``plot`` of the tests: where interval, estimate and threshold lie on an axis from 0 to 100.

    Tests of one estimand share the axis; numbers in its name, such as logit scales, do not make it another.
    """
    axes = defaultdict(list)
    for test in tests:
        if all(math.isfinite(test[key]) for key in DRAWN):
            axes[re.sub(r"[\d.]+", "", test["estimand"])].append(test)
    for own in axes.values():
        values = [test[key] for test in own for key in DRAWN]
        width = (max(values) - min(values)) or 1.0
        for test in own:
            test["plot"] = {key: round(8 + 84 * (test[key] - min(values)) / width, 1) for key in DRAWN}


def _place(name: str, claim: str, embedded: Mapping[str, dict], placed: dict[str, str]) -> dict[str, Any]:
    """Return the figure if this is its first place, else where that is."""
    if name in placed:
        return {"name": name, "id": embedded[name]["id"], "shown_in": placed[name]}
    found = embedded.get(name)
    if found is None or found["url"] is None:
        return {"name": name, "missing": f"figures/{name}.png is missing"}
    if not found["drawn"]:
        return {"name": name, "missing": found["caption"].removesuffix(".")}
    placed[name] = claim
    return found


def _corruptions(record: Mapping[str, Any], embedded: dict[str, dict], placed: dict[str, str]) -> dict[str, Any]:
    """Return what the page says of corrupted images: the figure, or why there is none."""
    if not record.get("available"):
        return {"text": f"Corrupted images are left out: {record.get('reason')}.", "figures": []}
    source = f" in {record['file']} (MD5 {record['md5']})" if record.get("file") else ""
    text = f"Measured on the published corrupted test images{source}."
    return {"text": text, "figures": [_place(CORRUPTIONS, "", embedded, placed)]}


def commands(inputs: Inputs) -> list[str]:
    """Return the commands that make these results again."""
    revision = revision_of(inputs.records)
    name = "" if inputs.name == "digits" else f" {inputs.name}"  # the default experiment
    command = "./reproduce" + (f" {inputs.name}.yaml" if inputs.config is not None else name)
    return [f"git checkout {revision}", command] if revision else [command]
