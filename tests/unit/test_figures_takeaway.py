"""What a caption says first: numbers of the figure's own data, recomputed here from the tables."""

import numpy as np
import pytest
import test_figures_claims
import test_figures_corruptions
from figure_tables import FIGURES, main_kd, make, per_seed, usual, usual_figure

from vicinal.analysis.figures import FIGURES as ALL
from vicinal.analysis.figures import sentences

TEST = {"split": "test"}
DIFFERENT = {**TEST, "pairs": "different"}
OF_MIXED = {**TEST, "pairs": "all", "lam_low": 0.0, "lam_high": 1.0}


def said(name, tables=None):
    """Return the first sentences of a figure's caption; the others follow them on a line of their own."""
    first, others = (make(name, tables) if tables else usual_figure(name))[2].split("\n")
    assert others
    return first


def mean(table, method, t="2", teacher="big", **where):
    return per_seed(usual()[table], **where, **main_kd(method, t, teacher)).mean()


def signed(value, form):
    return format(value, form).replace("-", "−")


@pytest.mark.parametrize(("metric", "words"), [("accuracy", "the highest accuracy"), ("ece", "the lowest ECE")])
def test_temperature_names_the_best(metric, words):
    means = {t: 100 * mean("metrics", "kd_mixup", t, metric=metric, **TEST) for t in ("1", "2", "4")}
    best = max(means, key=lambda t: means[t] if metric == "accuracy" else -means[t])
    start = "big → small: KD + mixup has the highest accuracy at T = "
    assert said("temperature").startswith(start)
    assert f"{words} at T = {best} ({means[best]:.1f} %)" in said("temperature").split(" bigger → small: ")[0]


def test_plane_says_what_the_temperature_changes():
    values = {
        metric: 100 * np.subtract(*(mean("metrics", "kd", t, metric=metric, **TEST) for t in ("4", "1")))
        for metric in ("accuracy", "ece")
    }
    changes = f"accuracy {signed(values['accuracy'], '+.1f')}, ECE {signed(values['ece'], '+.1f')} points"
    assert said("plane").startswith(f"big → small: KD from T = 1 to 4 {changes}; KD + mixup from T = 1 to 4 accuracy ")


@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
def test_each_method_has_its_mean(method):
    label = {"kd": "KD", "kd_mixup": "KD + mixup"}[method]
    gap = 100 * mean("metrics", method, metric="confidence_gap", **TEST)
    assert f"{label} {signed(gap, '+.1f')}" in said("reliability").split(" bigger → ")[0]
    weight = mean("vicinal", method, metric="imitation_weight", **OF_MIXED)
    assert f"{label} {weight:.2f}" in said("imitation").split("; L_NL")[0]
    cka = mean("metrics", method, metric="cka_teacher", **TEST)
    assert f"{label} {cka:.2f}" in said("representations").split("; NC1")[0]
    bins = [
        mean("vicinal", method, metric="nonlinearity", **DIFFERENT, lam_low=b / 20, lam_high=(b + 1) / 20)
        for b in range(20)
    ]
    assert f"{label} {np.mean(bins):.2f}" in said("nonlinearity").split(" bigger → ")[0]
    last = usual()["history"]
    accuracy = 100 * per_seed(
        last[last["epoch"] == 6].assign(value=last["validation_accuracy"]), **main_kd(method, "2", "big")
    )
    assert f"{label} {accuracy.mean():.1f}" in said("training").split(" bigger → ")[0]


def test_capacity_names_the_best_teacher():
    means = {name: 100 * mean("metrics", "kd", teacher=name, metric="accuracy", **TEST) for name in ("big", "bigger")}
    best, worst = sorted(means, key=means.get, reverse=True)
    words = f"best with teacher {best} ({means[best]:.1f} %), worst with {worst} ({means[worst]:.1f} %)"
    assert said("capacity").startswith(f"small, KD: {words}. small, KD + mixup: ")


def test_projection_says_how_far_mixed_inputs_are_from_linear():
    data, _, _ = usual_figure("projection")
    own = data[data["method"] == "ce"]
    means = {row.place: np.array([row.x, row.y]) for row in own[own["kind"] == "mean"].itertuples()}
    away = [
        np.linalg.norm([row.x, row.y] - row.lam * means[row.place] - (1 - row.lam) * means[row.other_place])
        for row in own[own["kind"] == "mixed"].itertuples()
    ]
    assert f"CE {np.mean(away):.2f}, KD " in said("projection")


def test_confusion_has_the_medians():
    tables = test_figures_claims.usual()
    table = tables["spread"][tables["spread"]["model"] == "big"]
    table = table[(table["split"] == "test") & (table["quantile"] == 0.5) & (table["lam_high"] - table["lam_low"] == 1)]
    medians = table.groupby("metric", observed=True)["value"].mean()
    first = said("confusion", tables).split(" bigger: ")[0]
    assert first.startswith("big: median entropy (nats) ")
    for name, label in (("entropy_mixed", "mixed image"), ("source_mass_linear", "linear mixture")):
        assert f"{label} {medians[name]:.2f}" in first


def test_similarity_has_the_correlations():
    tables = test_figures_claims.usual()
    table = tables["confusion"][tables["confusion"]["model"] == "big"]
    rho = {kind: table.loc[table["metric"] == f"spearman_mixed_{kind}", "value"].mean() for kind in ("clean", "linear")}
    values = f"clean ρ = {signed(rho['clean'], '.2f')}, linear mixture ρ = {signed(rho['linear'], '.2f')}"
    assert said("similarity", tables) == f"Rank correlation with the matrix of mixed inputs: {values}."


def test_inheritance_has_the_correlation_of_the_points():
    data, _, _ = make("inheritance", test_figures_claims.usual())
    [(_, points), *_] = data.groupby(["teacher", "student"], sort=False)
    r = np.corrcoef(points["teacher_gap"], points["student_gap"])[0, 1]
    words = f"Pearson correlation of the gaps of teacher and student {signed(r, '.2f')}."
    assert words in said("inheritance", test_figures_claims.usual())


def test_overconfidence_counts_whole_bars():
    data, _, _ = make("overconfidence", test_figures_claims.usual())
    own = data[(data["teacher"] == data["teacher"].iloc[0]) & (data["method"] == "ce")]
    assert (own["low"] > 0).any()
    words = (
        f"less overconfident, by the whole bar, than CE at {(own['low'] > 0).sum()} of 3 T, CE + mixup at 0 of 3 T, KD"
    )
    assert words in said("overconfidence", test_figures_claims.usual())


def test_corruptions_is_of_the_benchmark():
    tables = test_figures_corruptions.tables()
    data, _, _ = make("corruptions", tables)
    own = data[(data["corruption"] == "benchmark") & (data["severity"] > 0) & (data["metric"] == "accuracy")]
    own = own[(own["method"] == "kd_mixup") & (own["teacher"] == own["teacher"].iloc[0])]
    assert len(own) == 5
    assert f"KD + mixup {own['mean'].mean():.1f} %." in said("corruptions", tables)


@pytest.mark.parametrize("name", [*FIGURES, *test_figures_claims.NAMES])
def test_no_takeaway_without_numbers(name):
    text = said(name, test_figures_claims.usual()) if name in test_figures_claims.NAMES else said(name)
    assert text.endswith(".") and "nan" not in text and "  " not in text and ".." not in text
    assert set(ALL) == {*FIGURES, *test_figures_claims.NAMES, "corruptions"}


def test_sentences_leave_out_what_says_nothing():
    assert sentences.each({"a": "", "b": "1"}) == "b: 1."
    assert sentences.joined(["", "x", "y"]) == "x; y"
