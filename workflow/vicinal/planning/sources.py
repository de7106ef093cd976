"""Where the data of an experiment come from, also where they are not there yet."""

from pathlib import Path
from typing import Any

from vicinal.config import Experiment
from vicinal.data.catalogue import BY_HAND, resolve_source
from vicinal.errors import VicinalError, describe
from vicinal.planning.problems import Problem

# The source of a data set that is not there, in a plan that is only shown.
MISSING = "missing"


def source_of(experiment: Experiment, cache: Path, missing: list[Problem] | None) -> dict[str, Any]:
    """Return the content identity of an experiment's data (``resolve_source``).

    Args:
        cache: JSON file that remembers the hashes of data files.
        missing: gets a problem where users must get the data by hand and have not yet; a stand-in is returned, so
            that the ids of a plan are not the final ones. None: that is an error.

    Raises:
        VicinalError: the data cannot be found.
    """
    data = experiment.data
    try:
        return resolve_source(data.name, data.root, data.source, data.image_column, data.label_column, cache)
    except VicinalError as error:
        if missing is None or data.name not in BY_HAND:
            raise
        missing.append(Problem(describe(error), (experiment.name,)))
        return {"source": MISSING, "files": {}}


def other_sources(experiment: Experiment, cache: Path) -> dict[str, dict[str, Any]]:
    """Return the content identities of ``evaluation.ood``, by name. Raises VicinalError: some cannot be found."""
    root = experiment.data.root
    return {name: resolve_source(name, root, "auto", cache=cache) for name in experiment.evaluation.ood or []}
