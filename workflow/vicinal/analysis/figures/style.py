"""One look for all figures: sizes, colours, markers, and how they are saved byte for byte the same."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from vicinal.analysis.schema import METHOD_NAMES

COLUMN, PAGE = 3.4, 6.9  # print widths in inches: one column and a full page of two columns
FONT = "DejaVu Sans"  # ships with matplotlib, so that every machine draws the same letters
LONGEST = 30  # letters of a class's name that are drawn
TICKS = {"major.size": 3, "major.width": 0.6, "minor.size": 2}
RC = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper", font_scale=0.8),
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.wspace": 0.04,
    "font.family": FONT,
    "font.size": 7.2,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.markersize": 5,
    "pdf.fonttype": 42,  # TrueType, as journals ask; the default Type 3 is refused by some
    "savefig.dpi": 300,
    **{f"{axis}tick.{part}": size for axis in "xy" for part, size in TICKS.items()},
}

TEACHER = "teacher"
# The order in which methods are drawn and listed.
METHODS = (TEACHER, "ce", "ce_mixup", "kd", "kd_mixup")
ALONE = METHODS[:3]  # have no temperature
LABELS = {TEACHER: "Teacher", **METHOD_NAMES}
# Colours that colour-blind readers tell apart: warm without mixup, cool with it.
_PALETTE = sns.color_palette("colorblind").as_hex()
COLOURS = {TEACHER: "#000000", "ce": _PALETTE[1], "ce_mixup": _PALETTE[9], "kd": _PALETTE[3], "kd_mixup": _PALETTE[0]}
# Dashes (in line widths; "" is a solid line) and markers tell the methods apart in black and white.
DASHES = {TEACHER: (8, 2), "ce": (1, 1), "ce_mixup": (5, 1.5, 1, 1.5), "kd": (3, 1.5), "kd_mixup": ""}
MARKERS = {TEACHER: "X", "ce": "^", "ce_mixup": "D", "kd": "o", "kd_mixup": "s"}
EDGE = {"markeredgecolor": "white", "markeredgewidth": 0.5}  # parts markers that lie on each other
# The same as keywords of matplotlib.
LINES = {method: (0, dashes) if dashes else "-" for method, dashes in DASHES.items()}
LOOKS = {m: {"color": COLOURS[m], "linestyle": LINES[m], "marker": MARKERS[m], **EDGE} for m in METHODS}
SCORES = {"accuracy": "Accuracy (%)", "ece": "ECE (%)", "oe": "OE (%)"}


def look() -> AbstractContextManager:
    """Return a context in which matplotlib and seaborn draw in this style, whatever the caller's settings are."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC})


def arrange(figure: Figure) -> None:
    """Lay a figure out, and keep this layout."""
    with look():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axes in figure.axes:  # the last digits of the layout's solver do not repeat
            axes.set_position([round(value, 6) for value in axes.get_position(original=True).bounds])


def save(figure: Figure, path: Path) -> None:
    """Save an arranged figure as PDF or PNG (300 dpi), by the ending of ``path``; equal figures give equal bytes."""
    undated = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    with look():
        figure.savefig(path, metadata=undated[path.suffix])


def message(text: str) -> Figure:
    """Return a figure that says in one sentence why there is nothing to draw."""
    figure = Figure(figsize=(COLUMN, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, wrap=True, parse_math=False)
    return figure


def class_names(names: Mapping[int, object]) -> tuple[dict[int, str], str]:
    """Return the names of classes by label as they are drawn, and a sentence on them for the caption.

    Where the font lacks a letter of any name, or would draw it in the wrong order (right to left), all classes are
    drawn as their labels, and the sentence lists the names; else it is empty.
    """
    names = {label: str(name) for label, name in names.items()}
    font = get_font(findfont(FONT))
    letters = set().union(*names.values())
    if all(font.get_char_index(ord(c)) and unicodedata.bidirectional(c) not in ("R", "AL") for c in letters):
        return {label: n if len(n) <= LONGEST else f"{n[: LONGEST - 1]}…" for label, n in names.items()}, ""
    listed = ", ".join(f"{label} {name}" for label, name in names.items())
    return {label: str(label) for label in names}, f"Class names: {listed}. "


def handles(methods: Iterable[str], plain: Iterable[str] = (), **changes: object) -> list[Line2D]:
    """Return legend entries of methods, in the order of ``METHODS``; those in ``plain`` have no marker."""
    looks = {method: LOOKS[method] | ({"marker": ""} if method in plain else {}) for method in ordered(methods)}
    return [Line2D([], [], label=LABELS[method], **look | changes) for method, look in looks.items()]


def legend_below(figure: Figure, entries: list, columns: int = 5, **look: object) -> None:
    """Put one legend below all panels, where it covers no data; in two columns where the figure is narrow."""
    columns = columns if figure.get_figwidth() >= PAGE else 2
    figure.legend(handles=entries, loc="outside lower center", ncols=min(columns, len(entries)), **look)


def tint(colour: str, share: float, other: str = "white") -> tuple[float, ...]:
    """Return ``share`` of a colour mixed with another."""
    return tuple(share * np.array(to_rgb(colour)) + (1 - share) * np.array(to_rgb(other)))


def ordered(methods: Iterable[str]) -> list[str]:
    """Return the distinct methods in the order in which they are listed everywhere."""
    return sorted(set(methods), key=METHODS.index)


def natural(name: str | None) -> list:
    """Return a sorting key by which resnet8 comes before resnet14."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name or "") if part]
