"""The figures of a report: PNG files as data URLs, together not larger than a limit."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vicinal.errors import VicinalError
from vicinal.files import read_json

# All PNG files together, in bytes; base64 adds a third, and a report stays below 5 MB.
BUDGET = 3_400_000
PRINTED_DPI = 300
SCREEN_DPI = 150


@dataclass
class Figure:
    """One figure: its PNG (None if it is missing), the caption, how it was made, and whether there was data to draw."""

    name: str
    png: bytes | None
    caption: str
    provenance: dict[str, Any] = field(default_factory=dict)
    drawn: bool = True


def read_figures(folder: Path) -> dict[str, Figure]:
    """Return the figures in a folder by name: each with its PNG, and with caption and provenance from its JSON record.

    Raises:
        VicinalError: a record is not JSON.
    """
    found = {}
    # Not the hidden ones: killed jobs leave temporary files.
    for name in sorted({path.stem for ending in ("png", "json") for path in folder.glob(f"[!.]*.{ending}")}):
        png, record = folder / f"{name}.png", folder / f"{name}.json"
        known = read_json(record) if record.exists() else {}
        picture = png.read_bytes() if png.exists() else None
        caption, provenance = str(known.get("caption") or ""), known.get("provenance") or {}
        found[name] = Figure(name, picture, caption, provenance, known.get("drawn", True))
    return found


def embed(figure: Figure, shrink: bool) -> dict[str, Any]:
    """Return a figure as the page shows it: ``url``, ``width`` and ``height`` in CSS pixels, ``alt`` and ``caption``.

    A picture of 300 dpi is shown at half its pixels. With ``shrink`` it is embedded at 150 dpi.

    Raises:
        VicinalError: the PNG is unreadable.
    """
    shown = {"name": figure.name, "caption": figure.caption, "alt": _alt(figure), "url": None, "drawn": figure.drawn}
    if figure.png is None:
        return shown
    try:
        with Image.open(io.BytesIO(figure.png)) as image:
            width, height = (round(side * SCREEN_DPI / PRINTED_DPI) for side in image.size)
            data = _smaller(image, (width, height)) if shrink else figure.png
    except OSError as error:
        where = f"figures/{figure.name}.png"
        raise VicinalError(f"{where}: not a readable PNG ({error}); delete it and run again") from None
    url = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    return {**shown, "url": url, "width": width, "height": height}


def must_shrink(figures: list[Figure]) -> bool:
    """Return whether the figures are too large to be embedded as they are."""
    return sum(len(figure.png or b"") for figure in figures) > BUDGET


def _smaller(image: Image.Image, size: tuple[int, int]) -> bytes:
    # A palette of 256 colours holds a plot's few, and is a third of the size.
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.quantize(256, method=Image.Quantize.MEDIANCUT).save(out, "PNG", optimize=True)
    return out.getvalue()


def _alt(figure: Figure) -> str:
    """Return the first sentence of the caption, else the figure's name."""
    first, _, _ = figure.caption.partition(". ")
    return f"Figure: {first.rstrip('.') or figure.name}."
