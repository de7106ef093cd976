"""One look for all figures: sizes, colours, markers, and how they are saved byte for byte the same."""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Print widths in inches: one column and a full page of two columns.
COLUMN = 3.4
PAGE = 6.9

RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.dpi": 100,
    "figure.titlesize": 8,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that every machine draws the same letters
    "font.size": 7,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # TrueType, as journals ask; the default Type 3 is refused by some
    "savefig.dpi": 300,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}

TEACHER = "teacher"
# The order in which methods are drawn and listed.
METHODS = (TEACHER, "ce", "ce_mixup", "kd", "kd_mixup")
LABELS = {
    TEACHER: "Teacher",
    "ce": "CE",
    "ce_mixup": "CE + mixup",
    "kd": "KD",
    "kd_mixup": "KD + mixup",
}
# Okabe and Ito's colours, told apart by colour-blind readers too: warm without mixup, cool with it.
COLOURS = {
    TEACHER: "#000000",
    "ce": "#E69F00",
    "ce_mixup": "#56B4E9",
    "kd": "#D55E00",
    "kd_mixup": "#0072B2",
}
MARKERS = {TEACHER: "x", "ce": "s", "ce_mixup": "D", "kd": "o", "kd_mixup": "^"}
# Line styles and markers tell the methods apart in black and white.
LINES = {TEACHER: "--", "ce": ":", "ce_mixup": "-.", "kd": "-", "kd_mixup": "-"}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw in this style, whatever the caller's matplotlib settings are."""

    @wraps(draw)
    def inner(*args, **kwargs) -> Figure:
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
            return draw(*args, **kwargs)

    return inner


def save(figure: Figure, path: Path) -> None:
    """Save a figure as PDF or PNG (300 dpi), by the ending of ``path``; equal figures give equal bytes."""
    undated = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        _settle_layout(figure)
        figure.savefig(path, metadata=undated[path.suffix])


def _settle_layout(figure: Figure) -> None:
    """Lay the figure out and round the positions: the last digits of the solver do not repeat."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        bounds = [round(value, 6) for value in axes.get_position(original=True).bounds]
        axes.set_position(bounds)


@styled
def message(text: str) -> Figure:
    """Return a figure that says in one sentence why there is nothing to draw."""
    figure = Figure(figsize=(COLUMN, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, wrap=True)
    return figure


def handle(method: str, marker: bool = True) -> Line2D:
    """Return a legend entry of a method."""
    return Line2D([], [], label=LABELS[method], **line(method, marker))


def line(method: str, marker: bool = True) -> dict:
    """Return colour, line style and marker of a method, as keywords of ``plot``."""
    keywords = {"color": COLOURS[method], "linestyle": LINES[method]}
    return keywords | {"marker": MARKERS[method]} if marker else keywords


def legend_below(figure: Figure, handles: list, columns: int = 5) -> None:
    """Put one legend below all panels, where it covers no data; in two columns where the figure is narrow."""
    if figure.get_figwidth() < PAGE:
        columns = 2
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def tint(colour: str, share: float) -> tuple[float, ...]:
    """Return a colour mixed with white: ``share`` 1 is the colour, 0 is white."""
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def ordered(methods: Iterable[str]) -> list[str]:
    """Return the distinct methods in the order in which they are listed everywhere."""
    present = set(methods)
    return [method for method in METHODS if method in present]


def natural(name: str | None) -> list:
    """Return a sorting key by which resnet8 comes before resnet14."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name or "") if part]


def pair_title(teacher: str | None, student: str) -> str:
    """Return how a pair is written above its panels."""
    return f"{teacher} → {student}" if teacher else student


def spread(positions: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return places for labels: near ``positions``, in their order, ``gap`` apart, between ``low`` and ``high``.

    Labels that would overlap form a block around the mean of what they label.
    """
    order = np.argsort(positions, kind="stable")
    blocks: list[tuple[float, int]] = []  # mean of (position − rank · gap) over the block, its size
    for rank, index in enumerate(order):
        blocks.append((float(positions[index]) - rank * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (left, n), (right, m) = blocks[-2:]
            blocks[-2:] = [((left * n + right * m) / (n + m), n + m)]
    starts = np.repeat([start for start, _ in blocks], [size for _, size in blocks])
    starts = np.maximum(np.minimum(starts, high - (len(starts) - 1) * gap), low)
    places = np.empty(len(positions))
    places[order] = starts + gap * np.arange(len(positions))
    return places
