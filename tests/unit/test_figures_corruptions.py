"""The figure of corrupted images: means over corruptions and seeds, whatever is there, legible."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import ALL, frame, grid, make, tables_of, words

from vicinal.analysis.figures import corruptions, style
from vicinal.analysis.schema import tidy
from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES

MODELS = grid(teachers=("big",), temperatures=("2", "4"), seeds=3)


def corrupted(models, names=NAMES, seed=0):
    rng = np.random.default_rng(seed)
    axes = pd.MultiIndex.from_product([names, SEVERITIES, ["accuracy", "ece", "oe"]])
    cells = axes.to_frame(index=False, name=["corruption", "severity", "metric"])
    table = frame(models).merge(cells, how="cross")
    return table.assign(value=rng.uniform(0.2, 0.7, len(table)), count=100)


def tables(models=MODELS, **options):
    return {**tables_of(models), "corruptions": corrupted(models, **options)}


def test_the_values_are_means_over_the_benchmark_by_severity_and_over_severities_by_corruption():
    found = tables()
    data = corruptions.data({name: tidy(name, found[name]) for name in corruptions.TABLES})
    raw = found["corruptions"].astype({"method": object, "temperature": object, "model_id": object})
    own = raw[(raw["method"] == "kd_mixup") & (raw["temperature"] == "2") & (raw["metric"] == "ece")]
    rows = data[(data["method"] == "kd_mixup") & (data["metric"] == "ece")]
    assert len(rows) == 6 + 19
    assert set(rows["temperature"]) == {"2"}
    benchmark = own[own["corruption"].isin(corruptions.BENCHMARK)]
    for severity in SEVERITIES:
        values = 100 * benchmark[benchmark["severity"] == severity].groupby("model_id")["value"].mean()
        row = rows[(rows["corruption"] == corruptions.MEAN) & (rows["severity"] == severity)].iloc[0]
        assert row["mean"] == pytest.approx(values.mean())
        assert row["sd"] == pytest.approx(values.std())
        assert row["n"] == 3
    values = 100 * own[own["corruption"] == "spatter"].groupby("model_id")["value"].mean()
    row = rows[rows["corruption"] == "spatter"].iloc[0]
    assert (row["mean"], row["severity"]) == (pytest.approx(values.mean()), corruptions.ALL)
    clean = found["metrics"].astype({"metric": object, "method": object, "temperature": object})
    clean = clean[(clean["split"] == "test") & (clean["metric"] == "ece") & (clean["method"] == "kd_mixup")]
    row = rows[rows["severity"] == 0].iloc[0]
    assert row["mean"] == pytest.approx(100 * clean.loc[clean["temperature"] == "2", "value"].mean())


def test_the_figure_has_a_column_a_metric_and_names_every_corruption():
    data, figure, caption = make("corruptions", tables(grid(teachers=("big", "bigger"), seeds=3)))
    assert figure.get_figwidth() == style.PAGE
    assert len(figure.axes) == 9
    text = words(figure)
    assert {name.replace("_", " ") for name in NAMES} <= set(text)
    assert {"big → small", "bigger → small", *style.SCORES.values()} <= set(text)
    assert [handle.get_text() for handle in figure.legends[0].get_texts()] == [
        style.LABELS[method] for method in (style.TEACHER, *ALL)
    ]
    assert "mean over 15 corruptions of the benchmark" in caption
    assert "Bands above: 95 % t-interval" in caption and "n = 3 seeds" in caption
    assert set(data["unit"]) == {"%"}


@pytest.mark.parametrize(
    ("models", "options"),
    [
        (grid(seeds=1), {}),
        (grid(methods=("ce",)), {}),
        (grid(methods=("kd_mixup",), temperatures=("std",)), {}),
        (MODELS, {"names": ("fog", "saturate")}),
        (MODELS, {"names": ("saturate",)}),
    ],
)
def test_whatever_is_there_is_drawn(models, options):
    data, figure, caption = make("corruptions", tables(models, **options))
    assert len(data) and len(figure.axes) >= 6
    assert caption.endswith(".") and "{" not in caption


def test_without_corrupted_images_it_says_so():
    data, figure, caption = make("corruptions", {**tables_of(MODELS), "corruptions": corrupted(MODELS)[:0]})
    assert not len(data)
    assert words(figure) == [corruptions.MISSING] == [caption]
