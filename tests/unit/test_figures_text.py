"""Text in the figures: names that the font lacks, many temperatures, and what stands where a figure fails."""

import itertools
import json
from functools import cache
from types import SimpleNamespace

import pandas as pd
import pytest
import test_figures_claims
from figure_tables import grid, make, tables_of, usual, words
from matplotlib.text import Text

from vicinal.analysis.figures import files, style
from vicinal.errors import VicinalError
from vicinal.files import write_table
from vicinal.jobs.provenance import Stopwatch

LACKING = {
    "Chinese": ["猫", "犬", "鳥", "馬"],
    "Devanagari": ["हाथी", "घोड़ा", "गाय", "कुत्ता"],
    "emoji": ["🐈", "b", "c", "d"],
    "right to left": ["קוף", "b", "c", "d"],
}
DRAWN = {"Latin": ["Ärger", "łódź", "_a", "$x_$"], "Greek and Cyrillic": ["Ω", "кот", "c", "d"]}
TWENTY = (*map(str, range(1, 20)), "std")
FEW = ("1", "2", "3", "4", "8", "16", "std")


@cache
def with_names(name, names):
    if name == "similarity":
        return make(name, test_figures_claims.tables_of(grid(seeds=2), classes=4, names=list(names)))
    return make(name, {**usual(), "classes": pd.DataFrame({"label": range(4), "name": names})})


@pytest.mark.filterwarnings("error")  # matplotlib warns of glyphs that it lacks
@pytest.mark.parametrize("kind", [*LACKING, *DRAWN])
@pytest.mark.parametrize("name", ["similarity", "projection"])
def test_names_that_the_font_lacks_become_numbers_and_are_listed(name, kind):
    names = (LACKING | DRAWN)[kind]
    data, figure, caption = with_names(name, tuple(names))
    figure.draw_without_rendering()
    labels = sorted(data["label"].unique()) if name == "projection" else range(4)
    shown = [str(label) if kind in LACKING else names[label] for label in labels]
    texts = figure.legends[0].get_texts()[:3] if name == "projection" else figure.axes[0].get_xticklabels()
    assert [text.get_text() for text in texts] == shown
    listed = ", ".join(f"{label} {names[label]}" for label in labels)
    assert (f"Class names: {listed}." in caption) is (kind in LACKING)


def test_long_names_stay_in_the_figure():
    figure = with_names("projection", tuple(f"{letter} rather long name of a class" for letter in "abcd"))[1]
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.01 and box.x1 <= figure.get_figwidth() + 0.01


@cache
def of_twenty(name):
    return make(name, tables_of(grid(temperatures=TWENTY, teachers=("big", "bigger"), seeds=2), epochs=1))


def test_labels_of_twenty_temperatures_do_not_touch():
    _, figure, caption = of_twenty("temperature")
    figure.draw_without_rendering()
    for ax in figure.axes:
        labels = ax.get_xticklabels()
        assert len(labels) == 20
        named = [label for label in labels if label.get_text()]
        boxes = [label.get_window_extent() for label in named]
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
        texts = [label.get_text() for label in named]
        assert len(texts) >= 6 and {"1", "19", "std"} <= set(texts)
        for label in named:  # a name stands at its own place
            assert TWENTY[list(ax.get_xticks()).index(label.get_position()[0])] == label.get_text()
    assert "moved apart" not in caption


def test_few_temperatures_are_all_named():
    _, figure, caption = make("temperature", tables_of(grid(temperatures=FEW, seeds=2)))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == list(FEW)
    assert "moved apart" in caption


def test_twenty_sizes_are_a_short_legend():
    _, figure, _ = of_twenty("plane")
    [legend] = [legend for legend in figure.legends if legend.get_title().get_text() == "T"]
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == 8 and texts[0] == "1" and texts[-1] == "std"
    assert texts == sorted(texts, key=TWENTY.index)


def failing(error):
    def data(tables):
        raise error

    return SimpleNamespace(TABLES=("metrics",), MISSING="", data=data)


def write(tmp_path, monkeypatch, error):
    write_table(tmp_path / "metrics.parquet", usual()["metrics"])
    monkeypatch.setattr(files, "import_module", lambda name: failing(error))
    return files.write_figure("plane", tmp_path, tmp_path / "plane.pdf", {}, "", Stopwatch())


def test_a_figure_that_fails_says_so_in_its_place(tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(style, "save", lambda figure, path: (shown.append(words(figure)), path.write_bytes(b"x")))
    assert len(write(tmp_path, monkeypatch, IndexError("index 3 is out of $bounds$"))) == 0
    text = "This figure cannot be drawn from these tables (IndexError: index 3 is out of $bounds$)."
    assert shown == [[text]] * 2
    assert json.loads((tmp_path / "plane.json").read_text())["caption"] == text
    assert len(pd.read_parquet(tmp_path / "plane.parquet")) == 0
    said = capsys.readouterr().err
    assert f"warning: figure plane: {text}" in said and "Traceback" in said


def test_a_bad_table_is_still_an_error(tmp_path, monkeypatch):
    with pytest.raises(VicinalError, match="column x is missing"):
        write(tmp_path, monkeypatch, VicinalError("column x is missing"))
    assert not (tmp_path / "plane.json").exists()


def test_the_sentence_of_a_missing_figure_is_no_mathematics():
    [text] = style.message("costs $5 and $6").findobj(Text)[:1]
    assert not text.get_parse_math()
