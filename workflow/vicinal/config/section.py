"""The base of all parts of a config, and its numbers: pydantic's, without booleans, and text only where it is plain."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

# Not 010, 1_000, 0x10 or 1:30, which readers of numbers disagree about.
PLAIN_NUMBER = r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?"


def as_number(value: Any) -> Any:
    """Return the number that a text is, and any other value as it is. Raises ValueError: no plain number."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")
    if not isinstance(value, str):
        return value
    if not re.fullmatch(PLAIN_NUMBER, value):
        raise ValueError(f"{value!r} is not a plain number such as 10, 0.5 or 1e-3")
    return float(value) if re.search("[.eE]", value) else int(value)


Int = Annotated[int, BeforeValidator(as_number)]
Float = Annotated[float, BeforeValidator(as_number)]


class Section(BaseModel):
    """A part of the config: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
