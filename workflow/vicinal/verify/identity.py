"""Which id a recorded spec has: the hash in the name of an artefact is that of its spec."""

from collections.abc import Mapping
from typing import Any

from vicinal.spec import digest

# What sets a student apart in its cohort; the rest of its spec is the cohort's.
OWN = ("temperature", "logit_scale", "loss")


def is_of_spec(id_: str, spec: Any) -> bool:
    """Tell whether an id ends with the hash of a spec: that of a data store, a teacher or a student."""
    return isinstance(spec, Mapping) and id_.endswith(f"-{digest(spec)[:8]}")


def is_of_cohort(id_: str, student: Mapping[str, Any]) -> bool:
    """Tell whether a cohort's id is that of the cohort of a student, given by its spec."""
    return is_of_spec(id_, {key: value for key, value in student.items() if key not in OWN})


def is_of_evaluation(id_: str, spec: Mapping[str, Any]) -> bool:
    """Tell whether an evaluation's id is that of its spec: the settings, and the unit by its id."""
    if not isinstance(spec, Mapping) or "unit" not in spec or "pairs" not in spec:
        return False
    slug = id_[:-9].removesuffix(f"_p{spec['pairs']}")
    settings = {key: value for key, value in spec.items() if key != "unit"}
    return is_of_spec(id_, {"stage": "evaluation", "unit": f"{slug}-{digest(spec['unit'])[:8]}", **settings})
