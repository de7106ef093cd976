"""What a claim compares: numbers of several runs, paired by seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# From this many seeds on equal values of a metric are no coincidence; three accuracies on few images may be equal.
MIN_COPIES = 4
# The seed of a network that has none and is compared with the runs of every seed.
ALL_SEEDS = None


@dataclass(frozen=True)
class Series:
    """One number of one setting: its values by seed (several where a seed occurs twice), and its name in messages.

    A network that is one for all seeds has its only value under ``ALL_SEEDS``. Every sample made from these values gets
    the ``note``.
    """

    name: str
    values: Mapping[int | None, list[float]]
    note: str = ""


@dataclass
class Sample:
    """What a test compares: ``values`` (n, k) over the seeds that all series have.

    ``needs`` names the missing runs, separated by semicolons. ``problem`` says why the values cannot be used. ``note``
    names the seeds that were left out, and repeats the notes of the series. ``seeds`` is [``ALL_SEEDS``] where no
    network has a seed.
    """

    seeds: list[int | None] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.empty((0, 1)))
    needs: str = ""
    problem: str = ""
    note: str = ""


def paired(series: Sequence[Series], contrast: Callable[..., np.ndarray]) -> Sample:
    """Return the sample of ``contrast`` over the seeds that all series have.

    ``contrast`` takes one array (n,) a series and returns (n,) or (n, k). A network that is one for all seeds is
    compared with the runs of each.
    """
    missing = [s.name for s in series if not s.values]
    if missing:
        return Sample(needs="; ".join(dict.fromkeys(missing)))
    for s in series:
        twice = [seed for seed, values in s.values.items() if len(values) > 1]
        if twice:
            at = "all seeds" if twice[0] is ALL_SEEDS else f"seed {twice[0]}"
            return Sample(problem=f"{s.name} occurs {len(s.values[twice[0]])} times for {at}")
    of_seeds = [set(s.values) for s in series if ALL_SEEDS not in s.values] or [{ALL_SEEDS}]
    seeds = sorted(set.intersection(*of_seeds))
    left_out = sorted(set.union(*of_seeds) - set(seeds))
    notes = [f"seeds {', '.join(map(str, left_out))} left out: not in every run compared"] if left_out else []
    notes += [s.note for s in series if s.note and seeds != [ALL_SEEDS]]
    note = "; ".join(dict.fromkeys(notes))
    if not seeds:
        return Sample(note=note)
    columns = []
    for s in series:
        own_seeds = [ALL_SEEDS] if ALL_SEEDS in s.values else seeds
        column = np.array([s.values[seed][0] for seed in own_seeds], dtype=np.float64)
        if not np.isin(column, (0, 1)).all() and (problem := _unusable(column, MIN_COPIES)):  # a bound is no copy
            return Sample(seeds, problem=f"{s.name} is {problem}", note=note)
        columns.append(np.broadcast_to(column, len(seeds)))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = contrast(*columns).reshape(len(seeds), -1)
    problem = next(filter(None, map(_unusable, values.T)), "")
    return Sample(seeds, values, problem=f"the estimand is {problem}" if problem else "", note=note)


def _unusable(column: np.ndarray, copies: int = 2) -> str:
    """Return what is wrong with the values of all seeds; ``copies`` equal ones are no coincidence."""
    if not np.isfinite(column).all():
        return "not finite at some seed"
    if len(column) >= copies and np.ptp(column) <= 1e-12 * np.abs(column).max():
        return f"the same number for all {len(column)} seeds ({column[0]:.6g}): these are not independent runs"
    return ""
