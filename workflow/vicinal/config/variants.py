"""What a run with ``--set`` is called: its tables and its report do not replace those of the experiment itself."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

# Behind it stands in a name what was changed. No name that a user writes has it.
PLUS = "+"
LONGEST = 48
# Settings that change no result.
NEUTRAL = ("name", "variant_of", "data.root", "execution", "cluster")


def variant_name(name: str, changes: Iterable[tuple[str, Any]]) -> str:
    """Return the name of an experiment after changes (field or short key, value), e.g. ``digits+epochs1``.

    Where that could not be told from other changes (lists in lists, negative numbers) or is too long, it is cut and
    ends in a hash.
    """
    changes = [(key, value) for key, value in changes if not _is_neutral(key)]
    parts = [_part(key, value) for key, value in changes]
    root, _, before = name.partition(PLUS)
    change = PLUS.join(filter(None, [before, *(text for text, _ in parts)]))
    if len(change) > LONGEST or not all(whole for _, whole in parts):
        digest = hashlib.sha256(json.dumps([before, changes], sort_keys=True, default=str).encode()).hexdigest()[:6]
        change = f"{change[: LONGEST - 7].rstrip('.+-')}-{digest}"
    return f"{root}{PLUS}{change}"


def same_results(first: BaseModel, second: BaseModel) -> bool:
    """Return whether two configs ask for the same results: they differ in neutral settings at most."""
    neutral: Any = {"name": True, "variant_of": True, "data": {"root"}, "execution": True, "cluster": True}
    return first.model_dump(exclude=neutral) == second.model_dump(exclude=neutral)


def _is_neutral(key: str) -> bool:
    return any(key == field or key.startswith(f"{field}.") for field in NEUTRAL)


def _part(key: str, value: Any) -> tuple[str, bool]:
    """Return a change in letters of a file's name, and whether it can be read back from them."""
    values = value if isinstance(value, list) else [value]
    texts = [json.dumps(v) if v is None or isinstance(v, bool) else str(v) for v in values]
    whole = bool(texts) and all(re.fullmatch(r"[A-Za-z0-9._]+", text) for text in texts)
    text = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(texts)).strip("-")
    joint = "" if text[:1].isdigit() and not key[-1].isdigit() else "-"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{key}{joint}{text}"), whole
