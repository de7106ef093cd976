"""The table of published numbers beside ours, of one experiment or of several, with numbered differences below it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vicinal.analysis.protocols import PROTOCOLS
from vicinal.analysis.published import compare


def published_context(tables: Mapping[str, pd.DataFrame], published: pd.DataFrame) -> dict[str, Any]:
    """Return the published numbers that have a counterpart in some experiment.

    Args:
        tables: metrics, by name of the experiment.
        published: see ``read_published``.

    Returns:
        ``groups``: one a data set and setting, each with its ``title`` and ``rows`` in the published order; a row is
        one of ``compare`` with ``experiment``, and ``differs`` as numbers from 1. ``differences``: their sentences, in
        the order of these numbers. ``matched`` of ``known`` published numbers have a counterpart.
    """
    rows = [
        {**row, "experiment": name}
        for name, metrics in tables.items()
        for row in compare(metrics, published).to_dict("records")
    ]
    rows.sort(key=lambda row: row["place"])  # stable: experiments stay in their order
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['dataset']}, {PROTOCOLS[row['setting']].title}", []).append(row)
    differences: dict[str, int] = {}
    for row in (row for members in groups.values() for row in members):
        row["differs"] = sorted(differences.setdefault(text, len(differences) + 1) for text in row["differs"])
    return {
        "groups": [{"title": title, "rows": members} for title, members in groups.items()],
        "differences": list(differences),
        "matched": len({row["place"] for row in rows}),
        "known": len(published),
    }
