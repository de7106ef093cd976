"""Plan files as jobs read them: the spec of one artefact, and a key that changes with everything it is made from.

``vicinal.planning.plans`` writes them. A finished job writes the key of its plan to ``<output>.key``, and on a second
line what went into that key (all but the spec), so that a later plan can say what changed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, write_text

# In place of a key, and of the code in a model's record: the user wants it trained anew.
RETRAIN = "retrain"
PARTS = ("code", "students", "units", "upstream", "files")


def recorded_key(output: Path) -> str | None:
    """Return the key of the plan that ``output`` was made from; None if there is no output or no key."""
    lines = _key_lines(output)
    return lines[0] if lines and output.exists() else None


def recorded_parts(output: Path) -> dict[str, Any]:
    """Return what went into the key of the plan that ``output`` was made from; empty if that is unknown."""
    lines = _key_lines(output)
    try:
        parts = json.loads(lines[1]) if len(lines) > 1 else {}
    except ValueError:
        return {}
    return parts if isinstance(parts, dict) else {}


def record_key(output: Path, plan: dict) -> None:
    """Write the key of the plan that ``output`` was made from, and its parts, beside it."""
    parts = {name: plan[name] for name in PARTS if name in plan}
    if "units" in parts:
        parts["units"] = {id_: [unit["code"], unit["models"]] for id_, unit in parts["units"].items()}
    write_text(_key_file(output), f"{plan['key']}\n{json.dumps(parts, sort_keys=True)}\n")


def forget_key(output: Path) -> None:
    """Remove the key beside ``output``, so that the next run makes the output anew."""
    _key_file(output).unlink(missing_ok=True)


def ask_again(output: Path) -> None:
    """Let a finished ``output`` count as stale, because the user wants what it lists trained anew; keep its parts."""
    if lines := _key_lines(output):
        write_text(_key_file(output), "\n".join([RETRAIN, *lines[1:]]) + "\n")


def _key_lines(output: Path) -> list[str]:
    try:
        return _key_file(output).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return []


def _key_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.key")


def read_plan(path: Path | str, stage: str) -> dict:
    """Read a plan file as its job does. Raises VicinalError: it is no plan of this stage, or has an invalid id."""
    plan = read_json(path)
    if not {"stage", "id", "key"} <= plan.keys():
        raise VicinalError(f"{path}: not a plan file; make it with ./reproduce or snakemake -n")
    if plan["stage"] != stage:
        raise VicinalError(f"{path}: a plan of the stage {plan['stage']}, expected {stage}")
    for id_ in _ids(plan):
        check_id(id_, str(path))
    return plan


def _ids(plan: dict) -> Iterator[Any]:
    """Yield every id in a plan: its job names files and directories by them."""
    yield plan["id"]
    yield from plan.get("students", {})
    yield from plan.get("units", {})
    yield from measured_models(plan)
    for id_, columns in plan.get("spec", {}).get("models", {}).items():
        yield from (id_, columns["evaluation"])
    yield from plan.get("spec", {}).get("corrupted", {}).values()
    yield from plan.get("spec", {}).get("stores", [])


def measured_models(plan: Mapping[str, Any]) -> list[str]:
    """Return the ids of the models that a plan's job measures; none where it measures nothing."""
    return [id_ for unit in plan.get("units", {}).values() for id_ in unit["models"]]


def student_labels(plan: Mapping[str, Any]) -> dict[str, str]:
    """Return student id → what tells it from the other students of a plan's job, e.g. ``KD + mixup T=2 c=0.5``.

    The method always stands there; mixup strength α, temperature T, logit scale c and the weights of the loss only
    where they differ within the job.
    """
    method = "KD" if "teacher" in plan.get("spec", {}) else "CE"
    settings = {id_: _settings(student["own"]) for id_, student in plan.get("students", {}).items()}
    values: dict[str, set[Any]] = {}
    for name in {name for own in settings.values() for name in own}:
        # Without mixup there is no α; the method says so.
        values[name] = {own.get(name) for own in settings.values() if name != "α" or name in own}
    return {
        id_: " ".join(
            [f"{method} + mixup" if "α" in own else method]
            + [f"{name}={value}" for name, value in own.items() if len(values[name]) > 1]
        )
        for id_, own in settings.items()
    }


def _settings(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return in which settings a student may differ from the others of its cohort, by the signs they are shown with."""
    signs = {"alpha": "α", "temperature": "T", "logit_scale": "c"}
    weights = {name.removesuffix("_weight"): weight for name, weight in own.get("loss", {}).items()}
    return {sign: own[name] for name, sign in signs.items() if name in own} | weights


def check_id(id_: Any, where: str) -> None:
    """Raise VicinalError, naming ``where``, unless an id is a plain file name, so that no path leads elsewhere."""
    if not isinstance(id_, str) or not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", id_, re.ASCII):
        raise VicinalError(f"{where}: {id_!r} is no id (letters, digits, '.', '_', '-', '+'); make it with ./reproduce")


def check_code(plan: dict, wanted: str, present: str) -> None:
    """Raise VicinalError if the code changed since a job was planned: a run must not mix results of two versions."""
    if wanted != present:
        raise VicinalError(
            f"{plan['id']}: the code changed after this run was planned ({wanted}, now {present}): run ./reproduce"
        )
