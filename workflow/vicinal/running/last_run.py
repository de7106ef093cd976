"""The last run that ended well: if config and code are still the same, nothing need be checked before the next run.

This compares only sizes and times, which is quick, and says no where it is not sure. Plans decide what is stale
(``vicinal.planning.changes``).
"""

import hashlib
from pathlib import Path

from vicinal.files import WORKFLOW, read_object, write_json
from vicinal.planning.artefacts import Artefacts
from vicinal.results import PLAN, STAGES, model_path

CODE = WORKFLOW
MARK = f"{PLAN}/finished.json"


def is_last_run(artefacts: Artefacts, config: str, results: Path) -> bool:
    """Return whether the last run that ended well was of this config and code, and its data and models are there."""
    if read_object(results / MARK) != _mark(config):
        return False
    made = {STAGES["data"].output_of(id_) for id_ in artefacts.stores}
    made |= {model_path("teacher", id_) for id_ in artefacts.teachers}
    made |= {model_path("student", id_) for id_ in artefacts.students}
    made |= {f"evaluations/{e.id}/{model.id}" for e in artefacts.evaluations.values() for model in e.models}
    return all((results / path).exists() for path in made)


def write_last_run(config: str, results: Path) -> None:
    """Record that a run of a config ended well."""
    write_json(results / MARK, _mark(config))


def _mark(config: str) -> dict[str, str]:
    """Return checksums of a config and of the sizes and times of the present code."""
    files = [path for path in sorted(CODE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    code = "".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}\n" for path in files)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (("config", config), ("code", code))}
