"""The figures that go with the claims are drawn, legible and repeatable, whatever runs are missing."""

from functools import cache

import matplotlib
import pandas as pd
import pytest
from claim_figures import NAMES, SCALES, grid, tables_of, usual
from figure_tables import make, module, pixels, words

from vicinal.analysis.figures import style
from vicinal.analysis.figures.files import drawn

CASES = {
    "one_seed": lambda: tables_of(grid(teachers=("big", "bigger"), seeds=1, scales=SCALES)),
    "no_teacher": lambda: tables_of(grid(methods=("ce", "ce_mixup"))),
    "no_mixup": lambda: tables_of(grid(methods=("ce", "kd"), scales=SCALES)),
    "only_kd_mixup": lambda: tables_of(grid(methods=("kd_mixup",), scales=SCALES, seeds=2)),
    "only_std": lambda: tables_of(grid(temperatures=("std",), scales=SCALES, seeds=2)),
    "mixup_teacher_only": lambda: tables_of(grid(teacher_alpha=1.0, scales=SCALES, seeds=2)),
    "two_classes": lambda: tables_of(grid(seeds=2), classes=2),
    "three_classes": lambda: tables_of(grid(seeds=2), classes=3),
    "many": lambda: tables_of(grid(teachers=("a", "b"), students=("s", "t"), scales=SCALES, seeds=2)),
    "nothing": lambda: {
        name: table if name == "classes" else table[:0] for name, table in tables_of(grid(seeds=1)).items()
    },
}
MISSING = {
    ("confusion", "no_teacher"), ("confusion", "nothing"),
    ("similarity", "no_teacher"), ("similarity", "mixup_teacher_only"), ("similarity", "nothing"),
    ("similarity", "two_classes"),
    ("inheritance", "no_teacher"), ("inheritance", "no_mixup"), ("inheritance", "only_std"),
    ("inheritance", "mixup_teacher_only"), ("inheritance", "two_classes"), ("inheritance", "three_classes"),
    ("inheritance", "nothing"),
    ("overconfidence", "no_teacher"), ("overconfidence", "no_mixup"), ("overconfidence", "only_kd_mixup"),
    ("overconfidence", "only_std"), ("overconfidence", "mixup_teacher_only"), ("overconfidence", "nothing"),
}  # fmt: skip


@cache
def tables_of_case(case):
    return CASES[case]()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_whatever_runs_are_missing(name, case, tmp_path):
    data, figure, caption = make(name, tables_of_case(case))
    assert caption.endswith(".") and "{" not in caption
    assert (len(data) == 0) is ((name, case) in MISSING)
    if not len(data):
        assert words(figure) == [module(name).MISSING] == [caption]
    figure.draw_without_rendering()
    path = tmp_path / "data.parquet"
    data.to_parquet(path, index=False)
    again = pd.read_parquet(path)
    again = again.astype(object).where(again.notna(), None)
    pd.testing.assert_frame_equal(again, data.astype(object).where(data.notna(), None))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(name):
    caption = make(name, tables_of_case("one_seed"))[2]
    assert "one seed" in caption.lower() and "t-interval" not in caption


@pytest.mark.parametrize("name", NAMES)
def test_text_is_legible_and_nothing_is_cut_off(name):
    long = [f"a long name {i}" for i in range(20)]
    for tables in (usual(), tables_of(grid(seeds=2, scales=SCALES), 20, names=long)):
        figure = make(name, tables)[1]
        sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
        assert min(sizes) >= 7
        assert figure.get_figwidth() in (style.COLUMN, style.PAGE)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert box.x0 >= -0.01 and box.y0 >= -0.01
        assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_drawn_again_from_its_parquet_it_shows_the_same(name, tmp_path):
    data, figure, caption = make(name, tables_of_case("one_seed"))
    data.to_parquet(tmp_path / "data.parquet", index=False)
    data = pd.read_parquet(tmp_path / "data.parquet")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False}):
        again, said = drawn(module(name), data)
    assert pixels(again) == pixels(figure)
    assert said == caption


def test_input_tables_stay_as_they_were():
    tables = {name: table.copy() for name, table in usual().items()}
    for name in NAMES:
        make(name, tables)
    for name, table in usual().items():
        pd.testing.assert_frame_equal(tables[name], table)
