"""Specs: what determines an artefact, as canonical JSON, and the ids made from them."""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

# A field at its neutral value is left out of a spec, so a new field changes no existing id.
# The same holds for weights of terms of the loss (``NAME_weight``) that are 0.
NEUTRAL: dict[str, Any] = {"logit_scale": 1, "nesterov": False, "pretrained": False, "as_viewed": False}
# Value of ``store`` in a data spec with photos of any size, kept as JPEGs.
PHOTOS = "photos"
# Field of a teacher's spec with the weights that it is given; such a teacher is not trained and has no seed.
GIVEN = "given"


def normalise(value: Any) -> Any:
    """Return ``value`` with numbers normalised (4.0 becomes 4), None and neutral fields left out, tuples as lists.

    Raises ValueError: a number is NaN or infinite.
    """
    if isinstance(value, dict):
        fields = {key: normalise(field) for key, field in value.items() if field is not None}
        return {key: field for key, field in fields.items() if not _is_neutral(key, field)}
    if isinstance(value, list | tuple):
        return [normalise(entry) for entry in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be part of a spec")
        return int(value) if value.is_integer() else value
    return value


def _is_neutral(key: str, field: Any) -> bool:
    return (key in NEUTRAL and field == NEUTRAL[key]) or (is_weight(key) and field == 0)


def is_weight(name: str) -> bool:
    """Return whether a field, or a column of a table, is the weight of a term of the loss."""
    return str(name).endswith("_weight")


def more_weights(columns: Iterable[str]) -> list[str]:
    """Return the columns of a table that are weights of terms of the loss, but ``kd_weight`` and ``ce_weight``."""
    return [column for column in columns if is_weight(column) and column not in ("kd_weight", "ce_weight")]


def is_given(spec: dict[str, Any]) -> bool:
    """Return whether a spec is that of a teacher with given weights, which is not trained."""
    return GIVEN in spec


def canonical(value: Any) -> str:
    """Return the canonical JSON of a spec: normalised, sorted keys, no white space."""
    return _json(normalise(value))


def _json(normalised: Any) -> str:
    return json.dumps(normalised, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of the canonical JSON of ``value``."""
    return _sha256(canonical(value))


def artefact_id(slug: str, spec: Any) -> str:
    """Return the id of an artefact: a readable slug and 8 hexadecimal digits of its spec's hash."""
    return f"{slug}-{digest(spec)[:8]}"


def data_id(spec: dict[str, Any]) -> str:
    """Return the id of a data store by its spec; it shows the seed of the training images where each has its own."""
    seed = spec.get("subset_seed")
    return artefact_id(spec["name"] if seed is None else f"{spec['name']}_s{seed}", spec)


def canonical_fields(spec: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a normalised spec, each as canonical JSON with its name, for ``joined_id``."""
    return {key: _json({key: field})[1:-1] for key, field in spec.items()}


def joined_id(slug: str, *fields: dict[str, str]) -> str:
    """Return the ``artefact_id`` of the spec with all of these ``canonical_fields``."""
    together = {key: text for part in fields for key, text in part.items()}
    text = ",".join(together[key] for key in sorted(together))
    return f"{slug}-{_sha256(f'{{{text}}}')[:8]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def exact_number(value: float | str) -> str:
    """Return a number for a slug, without loss: 4.0 as ``4``, 0.5 as ``0.5``; a text (``std``) as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= 1e16:  # 1e300 would have 301 digits
        return repr(value).replace("+", "")
    return str(normalise(value))
