"""Make sure that files of published weights are there and whole, and download those that are missing."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vicinal.jobs.download import provide
from vicinal.models.pretrained import WEIGHTS, weights_path


def fetch_weights(names: Iterable[str], root: Path | str, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Make sure that files of published weights are there and whole, and download those that are missing.

    Returns name → the record of its file: ``file`` (its name), ``sha256`` of its content, ``url``,
    ``pretraining_mixup`` and ``recipe``. Raises VicinalError: a name is wrong, or a file is damaged or cannot be
    downloaded.
    """
    paths = {name: weights_path(root, name) for name in names}
    records = {}
    for name, path in paths.items():
        weights = WEIGHTS[name]
        remedy = (
            f"copy the file (its SHA-256 begins with {weights.sha256}) there, or run fetch_weights.py where there is "
            "internet"
        )
        records[name] = {
            "file": path.name,
            "sha256": provide(weights.url, path, weights.size, "sha256", weights.sha256, remedy, say),
            "url": weights.url,
            "pretraining_mixup": weights.pretraining_mixup,
            "recipe": weights.recipe,
        }
        say(f"{name}: {path} is there and whole")
    return records
