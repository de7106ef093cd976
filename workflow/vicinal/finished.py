"""Whether a run that ended well has made all of this already, so that nothing need be checked before the next one.

What is stale is decided by plans, whose fingerprints of the code take a while (``vicinal.changes``); this compares
sizes and times alone, and says no where it is not sure.
"""

import hashlib
import os
from pathlib import Path

from vicinal.artefacts import Artefacts
from vicinal.errors import VicinalError
from vicinal.files import read_json, write_json

CODE = Path(__file__).resolve().parents[1]


def made_by_last_run(artefacts: Artefacts, config: str, results: Path) -> bool:
    """Tell whether the last run that ended well was of the same config and code, and its data and models are there."""
    try:
        if read_json(_mark_file(results)) != _mark(config):
            return False
    except (VicinalError, OSError):
        return False
    made = {f"data/{id_}/data.json" for id_ in artefacts.stores}
    made |= {f"teachers/{id_}/model" for id_ in artefacts.teachers} | {f"students/{id_}" for id_ in artefacts.students}
    made |= {f"evaluations/{e.id}/{model.id}" for e in artefacts.evaluations.values() for model in e.models}
    return all((results / path).exists() for path in made)


def write_finished(config: str, results: Path) -> None:
    """Remember that a run of a config ended well."""
    write_json(_mark_file(results), _mark(config))


def _mark_file(results: Path) -> Path:
    return results / "plan" / "finished.json"


def _mark(config: str) -> dict[str, str]:
    """Return what tells a config and the present code from others."""
    code = hashlib.sha256()
    for folder, folders, names in os.walk(CODE):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            status = path.stat()
            code.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"config": hashlib.sha256(config.encode()).hexdigest(), "code": code.hexdigest()}
