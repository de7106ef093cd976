"""The types of values in a config: names, temperatures, numbers within limits."""

import re
import sys
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from vicinal.config.section import Float, Int, as_number
from vicinal.config.variants import LONGEST, PLUS
from vicinal.errors import nearest
from vicinal.models.registry import ARCHITECTURES
from vicinal.results import SHARED_FOLDERS

Method = Literal["ce", "ce_mixup", "kd", "kd_mixup"]
METHODS: tuple[str, ...] = get_args(Method)
# No experiment may have the name of a command of ./reproduce (``vicinal.commands``), or of a shared folder of results/.
COMMAND_WORDS = {"run", "plan", "status", "report", "diff", "verify", "gc", "new", "completion"}
RESERVED_NAMES = SHARED_FOLDERS | COMMAND_WORDS


def _architecture(name: str) -> str:
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model {name!r}{nearest(name, ARCHITECTURES)}")
    return name


def _method(name: Any) -> Any:
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}{nearest(name, METHODS)}")
    return name


def _temperature(value: Any) -> Any:
    if value == "std":
        return value
    try:
        value = as_number(value)
    except ValueError as error:
        raise ValueError(f"{error}: it must be a number > 0, or std") from None
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a temperature: it must be a number > 0, or std")
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"{value} is not a temperature: it must be > 0 (or std)")
    return float(value)


def _results_name(name: str) -> str:
    name, plus, change = name.partition(PLUS)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError(f"{name!r}: use letters, digits, '.', '_', '-', at most 64, starting with a letter or digit")
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} is a folder of results/ or a command of ./reproduce; choose another name")
    if plus and not re.fullmatch(rf"[A-Za-z0-9._+-]{{1,{LONGEST}}}", change):
        raise ValueError(f"{change!r}: behind the + use letters, digits, '.', '_', '-', '+', at most {LONGEST}")
    return name + plus + change


def check_variant(name: str, variant_of: str | None) -> None:
    """Refuse a name with a + where no run with ``--set`` gave it: ValueError."""
    root, plus, _ = name.partition(PLUS)
    if variant_of != (root if plus else None):
        found = f"variant_of: {variant_of!r}" if variant_of is not None else "no variant_of"
        raise ValueError(
            f"name: {name!r} with {found}: the part after a + is what --set changed, and variant_of is the part before "
            "it; leave out both"
        )


ModelName = Annotated[str, AfterValidator(_architecture)]
MethodName = Annotated[Method, BeforeValidator(_method)]
Temperature = Annotated[float | Literal["std"], BeforeValidator(_temperature)]
Positive = Annotated[Float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[Float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[Int, Field(ge=0, lt=2**63)]
ResultsName = Annotated[str, AfterValidator(_results_name)]
Alpha = Annotated[
    Float,
    Field(gt=0, allow_inf_nan=False, description="α of Beta(α, α), > 0 (without mixup: methods ce and kd)"),
]
