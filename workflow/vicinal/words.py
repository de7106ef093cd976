"""How numbers are printed: times, sizes, counts."""

import math
from collections.abc import Iterable

YEAR = 365.25 * 86_400  # s


def duration(seconds: float) -> str:
    """Return a time with its unit: ``40 s``, ``12 min``, ``3.5 h``, ``120 h``, ``60 days``, ``82 years``."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 1_000 * 3600:
        return f"{hours(seconds / 3600)} h"
    if seconds < 2 * YEAR:
        return f"{hours(seconds / 86_400)} days"
    return f"{hours(seconds / YEAR)} years"


def hours(value: float) -> str:
    """Return a number of hours with two significant digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.001 else "0"


def size(bytes_: float) -> str:
    """Return a number of bytes with its unit: ``950 B``, ``12 MB``, ``3.1 GB``."""
    for unit in ("B", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} GB" if bytes_ < 1000 else f"{bytes_ / 1000:.1f} TB"


def count(things: int, word: str) -> str:
    """Return a number of things: ``1 file``, ``2,000 files``."""
    return f"{things:,} {word}{'' if things == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers, three and more that follow each other as ``0 to 9``."""
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def number(value: float | None, form: str = ".3g") -> str:
    """Return a number with a true minus sign; an empty text if it is None or NaN."""
    if value is None or math.isnan(value):
        return ""
    return format(value, form).replace("-", "−")


def p_value(value: float) -> str:
    """Return a p-value with two significant digits, ``< 0.0001`` below that; an empty text if it is NaN."""
    return "< 0.0001" if value < 1e-4 else number(value, ".2g")
