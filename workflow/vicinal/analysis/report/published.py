"""The table of published numbers beside ours, for one experiment or several, with numbered differences below it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vicinal.analysis.protocols import PROTOCOLS
from vicinal.analysis.published import compare


def published_context(tables: Mapping[str, pd.DataFrame], published: pd.DataFrame) -> dict[str, Any]:
    """Return the published numbers that have a counterpart in an experiment.

    Args:
        tables: metrics, by name of the experiment.
        published: see ``read_published``.

    Returns:
        ``groups``: one for each data set and setting, with its ``title`` and its ``rows`` in the published order. A row
        is one of ``compare`` with ``experiment``, and with ``differs`` as numbers that count ``differences``, the
        sentences, from 1. ``matched`` of ``known`` published numbers have a counterpart.
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
    for members in groups.values():
        for row in members:
            row["differs"] = sorted(differences.setdefault(text, len(differences) + 1) for text in row["differs"])
    return {
        "groups": [{"title": title, "rows": members} for title, members in groups.items()],
        "differences": list(differences),
        "matched": len({row["place"] for row in rows}),
        "known": len(published),
    }
