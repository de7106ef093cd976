"""The last run that ended well: if it was of the same config and code, nothing need be checked before the next one.

What is stale is decided by plans, whose fingerprints of the code take a while (``vicinal.planning.changes``);
this compares sizes and times alone, and says no where it is not sure.
"""

import hashlib
from pathlib import Path

from vicinal.files import WORKFLOW, read_object, write_json
from vicinal.planning.artefacts import Artefacts
from vicinal.results import PLAN, STAGES, model_path

CODE = WORKFLOW


def is_last_run(artefacts: Artefacts, config: str, results: Path) -> bool:
    """Return whether the last run that ended well was of this config and code, and its data and models are there."""
    if read_object(_mark_file(results)) != _mark(config):
        return False
    made = {STAGES["data"].output_of(id_) for id_ in artefacts.stores}
    made |= {model_path("teacher", id_) for id_ in artefacts.teachers}
    made |= {model_path("student", id_) for id_ in artefacts.students}
    made |= {f"evaluations/{e.id}/{model.id}" for e in artefacts.evaluations.values() for model in e.unit.models}
    return all((results / path).exists() for path in made)


def write_last_run(config: str, results: Path) -> None:
    """Remember that a run of a config ended well."""
    write_json(_mark_file(results), _mark(config))


def _mark_file(results: Path) -> Path:
    return results / PLAN / "finished.json"


def _mark(config: str) -> dict[str, str]:
    """Return checksums of a config and of the sizes and times of the present code."""
    files = [path for path in sorted(CODE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    code = "".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}\n" for path in files)
    return {"config": _sha256(config), "code": _sha256(code)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
