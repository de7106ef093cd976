"""The engine: against a plain PyTorch loop, alone against in company, and when a loss is no number."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_cohort import RECIPE as FEWER
from small_cohort import splits as splits_of

from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.batch_plan import batch_plan
from vicinal.training.inputs import EpochTables, make_batch
from vicinal.training.learner import make_learner, role_seed
from vicinal.training.loop import Callbacks, Moment, logits_on, train
from vicinal.training.step import Training

RECIPE = {**FEWER, "batch_size": 32}
CPU = torch.device("cpu")
torch.set_num_threads(1)


@pytest.fixture
def splits():
    return splits_of(images=97)


def spec(**changes):
    base = {"stage": "student", "model": architecture("resnet8_narrow"), "recipe": RECIPE, "seed": 3}
    return {**base, "loss": {"ce_weight": 1}, **changes}


def student(temperature, **changes):
    return spec(loss={"kd_weight": 0.9, "ce_weight": 0.1}, temperature=temperature, **changes)


def frozen_teacher(splits):
    learner = make_learner("teacher", spec(model=architecture("resnet8"), seed=11), splits["train"])
    return learner.model.eval().requires_grad_(False)


def training_on(splits, recipe=RECIPE, seed=3, alpha=1.0, teacher=None):
    return Training(splits["train"], splits["validation"], recipe, seed, alpha, teacher)


def run(specs, splits, teacher=None, alpha=1.0, recipe=RECIPE, seed=3):
    learners = [make_learner(f"student-{k}", s, splits["train"]) for k, s in enumerate(specs)]
    train(learners, training_on(splits, recipe=recipe, seed=seed, alpha=alpha, teacher=teacher))
    return learners


def assert_same_weights(first, second):
    for (name, a), b in zip(first.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_equals_a_plain_loop_with_torch_optim(splits):
    teacher = frozen_teacher(splits)
    [learner] = run([student(2.0)], splits, teacher)

    torch.manual_seed(role_seed(student(2.0)))
    model = build_model(architecture("resnet8_narrow"), 10, 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    losses = []
    data = splits["train"]
    for epoch in range(3):
        plan = batch_plan(len(data), 32, seed=3, epoch=epoch, alpha=1.0, crop_padding=1, flip=True)
        optimizer.param_groups[0]["lr"] = 0.05 if epoch < 2 else 0.005
        model.train()
        of_epoch = []
        for bounds in plan.bounds:
            x, y_i, y_j, lam = make_batch(data, EpochTables(plan, CPU), slice(*bounds), RECIPE, mixed=True)
            logits = model(x)
            soft = lam[:, None] * F.one_hot(y_i, 10) + (1 - lam)[:, None] * F.one_hot(y_j, 10)
            p_t, log_p_s = (teacher(x) / 2).softmax(1), (logits / 2).log_softmax(1)
            kd = 4 * (p_t * (p_t.log() - log_p_s)).sum(1).mean()
            loss = 0.9 * kd + 0.1 * F.cross_entropy(logits, soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            of_epoch.append(loss.item())
        losses.append(np.mean(of_epoch))
    np.testing.assert_allclose([row["loss"] for row in learner.history], losses, rtol=2e-4)
    for a, b in zip(learner.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)


def test_a_student_of_a_cohort_equals_the_same_student_alone_bit_for_bit(splits):
    teacher = frozen_teacher(splits)
    specs = [student(1.0), student(4.0), student("std"), student(2.0, logit_scale=0.5)]
    together = run(specs, splits, teacher)
    for position, own in enumerate(specs):
        [alone] = run([own], splits, teacher)
        assert_same_weights(alone, together[position])
        assert [r["loss"] for r in alone.history] == [r["loss"] for r in together[position].history]


def test_seed_temperature_and_mixup_each_make_a_difference(splits):
    teacher = frozen_teacher(splits)
    reference = run([student(2.0)], splits, teacher)[0].model.fc.weight
    for other in (
        run([student(4.0)], splits, teacher),
        run([student(2.0, seed=4)], splits, teacher),
        run([student(2.0)], splits, teacher, seed=4),
        run([student(2.0)], splits, teacher, alpha=None),
        run([student(2.0, logit_scale=2.0)], splits, teacher),
    ):
        assert not torch.equal(reference, other[0].model.fc.weight)


def test_the_teacher_stays_as_it_is(splits):
    teacher = frozen_teacher(splits)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    run([student(2.0)], splits, teacher)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_initial_weights_depend_on_the_seed_alone(splits):
    torch.manual_seed(0)
    first = make_learner("a", spec(), splits["train"])
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert_same_weights(first, make_learner("b", spec(), splits["train"]))
    assert torch.equal(state, torch.random.get_rng_state())
    other = make_learner("c", spec(seed=4), splits["train"])
    assert not torch.equal(first.model.fc.weight, other.model.fc.weight)


def test_training_learns(splits):
    recipe = {**RECIPE, "epochs": 40, "lr": 0.1, "flip": False, "milestones": [0.75]}
    [learner] = run([spec(recipe=recipe)], splits, alpha=None, recipe=recipe)
    assert learner.history[-1]["loss"] < 0.5 * learner.history[0]["loss"]
    assert learner.history[-1]["validation_accuracy"] > 0.5
    predictions = logits_on(learner.model, splits["validation"]).argmax(1)
    assert (predictions == splits["validation"].labels).float().mean().item() == pytest.approx(
        learner.history[-1]["validation_accuracy"]
    )


def test_a_diverged_student_stops_and_the_others_go_on(splits):
    teacher = frozen_teacher(splits)
    fine, broken, also_fine = (
        make_learner(name, student(t), splits["train"]) for name, t in (("a", 1.0), ("b", 2.0), ("c", 4.0))
    )
    term = broken.terms[0][1]
    calls = []

    def nan_in_the_sixth_step(answers):
        calls.append(1)
        return term(answers) * (float("nan") if len(calls) == 6 else 1.0)

    broken.terms[0] = (broken.terms[0][0], nan_in_the_sixth_step)
    train([fine, broken, also_fine], training_on(splits, teacher=teacher))

    # 97 images in batches of 32 are three steps: the last batch, of one image, is dropped.
    assert broken.diverged == (2, 3)
    assert len(broken.history) == 1
    assert all(torch.isfinite(value).all() for value in broken.good_state.values())
    for learner, temperature in ((fine, 1.0), (also_fine, 4.0)):
        assert learner.diverged is None
        assert len(learner.history) == 3
        assert_same_weights(learner, run([student(temperature)], splits, teacher)[0])


def test_the_last_good_weights_are_those_after_the_last_finite_epoch(splits):
    one = {**RECIPE, "epochs": 1, "milestones": []}
    [one_epoch] = run([spec(recipe=one)], splits, recipe=one)
    recipe = {**RECIPE, "milestones": []}
    learner = make_learner("a", spec(recipe=recipe), splits["train"])
    term = learner.terms[0][1]
    calls = []

    def nan_later(answers):
        calls.append(1)
        return term(answers) * (float("nan") if len(calls) == 4 else 1.0)

    learner.terms = [(1.0, nan_later)]
    train([learner], training_on(splits, recipe))
    assert learner.diverged == (2, 1)
    for name, value in one_epoch.model.state_dict().items():
        assert torch.equal(value, learner.good_state[name]), name


def test_each_step_is_told_and_changes_nothing(splits):
    [silent] = run([spec()], splits)
    learner, told = make_learner("student-0", spec(), splits["train"]), []

    def on_step(moment):
        told.append((moment.epoch, moment.step, moment.epochs))

    train([learner], training_on(splits), callbacks=Callbacks(on_step=on_step))
    # 97 images: three batches of 32, and one of 1, which is dropped
    assert [(epoch, step) for epoch, step, _ in told] == [(e, s) for e in range(3) for s in (1, 2, 3)]
    assert [epochs for *_, epochs in told] == pytest.approx([step / 3 for step in range(1, 10)])
    assert_same_weights(silent, learner)


def test_the_time_of_all_steps_is_kept(splits):
    learner, moment, seen = make_learner("a", spec(), splits["train"]), Moment(seconds=100.0), []
    on_step = Callbacks(on_step=lambda moment: seen.append(moment.seconds))
    train([learner], training_on(splits, alpha=None), moment, on_step)
    assert (moment.epoch, moment.step, moment.losses) == (3, 0, None)
    assert 100 < seen[0] < seen[-1] <= moment.seconds < 200
    assert seen == sorted(seen)
    assert "seconds" not in learner.history[0]


def test_epochs_that_are_finished_are_not_trained_again(splits):
    [learner] = run([spec()], splits)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    train([learner], training_on(splits), Moment(epoch=3))
    assert all(torch.equal(before[name], value) for name, value in learner.model.state_dict().items())


def test_no_two_models_of_different_roles_or_seeds_start_equal(splits):
    def start(stage, seed, **more):
        specified = {**spec(seed=seed, **more), "stage": stage}
        learner = make_learner("a", specified, splits["train"])
        return role_seed(specified), learner.model.state_dict()["stem.0.weight"]

    starts = [start(stage, seed) for stage in ("teacher", "student") for seed in (0, 1, 2)]
    for (seed, weight), (other_seed, other) in itertools.combinations(starts, 2):
        assert seed != other_seed
        assert not torch.equal(weight, other)
    # The methods of a seed start from the same weights, and see the same batches.
    (seed, weight), (other_seed, other) = start("student", 0), start("student", 0, loss={"kd_weight": 1.0})
    assert seed == other_seed
    assert torch.equal(weight, other)
