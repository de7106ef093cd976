"""What is written otherwise and means the same runs nothing, and neither does where and how it runs."""

import copy
import shutil

import pytest
from dependencies import changed
from finished import BASE, artefacts_of, dry_runs, finish

NOTHING = {"snakemake": [], "planned": [], "trained": [], "reasons": []}


def reordered(value):
    """Return the same settings with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: reordered(entry) for key, entry in reversed(value.items())}
    return [reordered(entry) for entry in value] if isinstance(value, list) else value


def as_floats(value):
    """Return the same settings with 4.0 for 4 wherever a field takes fractions."""
    config = changed(value, "grids.0.temperatures", [2.0, 4.0])
    config = changed(config, "grids.0.alphas", [1])
    return changed(config, "loss", {"kd_weight": 1, "ce_weight": 0})


TEACHER = {"model": "resnet14", "mixup_alpha": None}
SAME = {
    "keys in another order": {"config": reordered(BASE)},
    "4.0 for 4, 1 for 1.0": {"config": as_floats(BASE)},
    "blocks in another order": {"config": changed(BASE, "grids", BASE["grids"][::-1])},
    "a block twice": {"config": changed(BASE, "grids", [*BASE["grids"], BASE["grids"][0]])},
    "a default written out": {"config": changed(BASE, "recipe.weight_decay", 5e-4)},
    "a teacher as a mapping": {"config": changed(BASE, "grids.0.teachers.0", TEACHER)},
    "data elsewhere": {"config": changed(BASE, "data.root", "moved")},
    "more cores": {"config": BASE, "cores": 8},
    "a GPU": {"config": BASE, "resources": {"gpu": 1}},
    "four GPUs": {"config": BASE, "resources": {"gpu": 4}},
    "the CPU, more threads": {"config": changed(BASE, "execution", {"device": "cpu", "threads": 8})},
}  # fmt: skip


@pytest.fixture(scope="module")
def answers(ask_once):
    return dict(zip(SAME, ask_once("same", list(SAME.values())), strict=True))


@pytest.mark.parametrize("name", SAME)
def test_nothing_runs(answers, name):
    assert answers[name] == NOTHING


def test_swapped_values_and_a_changed_byte_of_the_data_are_seen(project):
    swapped = copy.deepcopy(BASE)
    swapped["recipe"] |= {"momentum": BASE["recipe"]["gamma"], "gamma": BASE["recipe"]["momentum"]}
    swapped_loss = changed(BASE, "grids.1.loss", {"kd_weight": 0.1, "ce_weight": 0.9})
    more = {"config": BASE, "append": {"data/squares/train-0.parquet": 0}}
    of_recipe, of_loss, of_data = dry_runs(project, [{"config": swapped}, {"config": swapped_loss}, more])
    # 2 × 2 teachers and the one with mixup; by seed 2 alone, 2 × 2 × 2 distilled; 2 of the second block.
    assert len(of_recipe["trained"]) == 5 + 2 * (2 + 8) + 2
    assert {"recipe.gamma: 0.1 → 0.9", "recipe.momentum: 0.9 → 0.1"} <= set(of_recipe["reasons"])
    assert len(of_loss["trained"]) == 2
    assert all("mix0.5" in id_ for id_ in of_loss["trained"])
    # A byte more in the data: everything is made anew.
    rules = {rule for rule, _ in of_data["snakemake"]}
    assert {"prepare_data", "train_teacher", "distill", "evaluate", "aggregate"} <= rules
    assert len(of_data["trained"]) == 5 + 2 * (2 + 8) + 2
    assert of_data["planned"] == of_data["snakemake"]
    assert any(reason.startswith("data.files.train-0.parquet: ") for reason in of_data["reasons"])


def test_an_alpha_less_or_in_another_order_trains_nothing(project, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    both = changed(BASE, "grids.0.alphas", [1.0, 0.2])
    finish(artefacts_of(both, folder), folder / "results")
    there, turned, fewer = dry_runs(
        folder, [{"config": both}, {"config": changed(BASE, "grids.0.alphas", [0.2, 1.0])}, {"config": BASE}]
    )
    assert there == turned == NOTHING
    assert fewer["trained"] == []
    # One job trains all students of a teacher, one measures them; they do nothing again.
    analysis = {"aggregate", "judge_claims", "plot_figures", "make_report"}
    assert {rule for rule, _ in fewer["snakemake"]} == {"distill", "evaluate"} | analysis
    assert fewer["planned"] == fewer["snakemake"]
