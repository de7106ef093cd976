"""Trainings in phases: the head alone first; and learning rates that follow the validation loss."""

import pytest
import torch
import torch.nn.functional as F
from small_cohort import RECIPE, assert_same, splits, students, trained, training_on

from vicinal.models.registry import architecture
from vicinal.training.batch_plan import batch_plan
from vicinal.training.checkpoint import Checkpoints, find_checkpoint
from vicinal.training.inputs import EpochTables, make_batch
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, logits_on, train
from vicinal.training.optimizers import learning_rate, plateau_rate
from vicinal.training.phases import all_epochs, phase_at, phases
from vicinal.training.step import Training

torch.set_num_threads(1)
TWO = {**RECIPE, "epochs": 2, "head_epochs": 2, "head_lr": 0.01}
CPU = torch.device("cpu")


def test_a_recipe_without_head_epochs_is_one_phase():
    [phase] = phases(RECIPE)
    assert (phase.start, phase.stop, phase.head, phase.recipe) == (0, 3, False, RECIPE)


def test_the_head_comes_first():
    head, whole = phases(TWO)
    assert (head.start, head.stop, whole.start, whole.stop) == (0, 2, 2, 4)
    assert (head.head, whole.head) == (True, False)
    assert head.recipe["optimizer"] == "adam"
    assert learning_rate(head.recipe, 0.9) == 0.01
    assert all_epochs(TWO) == 4
    assert [phase_at(TWO, epoch).head for epoch in range(5)] == [True, True, False, False, False]


def test_the_first_phase_is_that_of_a_plain_loop_over_the_head():
    recipe, data, seen = TWO, splits()["train"], {}

    def on_epoch(epoch, learners):
        if epoch == 2:
            seen.update({k: {n: v.clone() for n, v in x.model.state_dict().items()} for k, x in enumerate(learners)})

    trained(recipe=recipe, on_epoch=on_epoch)
    [*_, last] = students(recipe=recipe)
    model = last.model.eval()  # the statistics of the rest stay
    optimizer = torch.optim.Adam(model.fc.parameters(), lr=0.01)
    for epoch in range(2):
        plan = batch_plan(len(data), 16, seed=3, epoch=epoch, alpha=None, crop_padding=1, flip=True)
        for bounds in plan.bounds:
            batch = make_batch(data, EpochTables(plan, CPU), slice(*bounds), recipe, mixed=False)
            optimizer.zero_grad()
            F.cross_entropy(model(batch.inputs), batch.labels).backward()
            optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(seen[2][name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_the_second_phase_trains_everything_by_the_recipe_from_its_start():
    learners = trained(recipe=TWO)
    fresh = students(recipe=TWO)
    for learner, start in zip(learners, fresh, strict=True):
        assert len(learner.history) == 4
        assert [row["lr"] for row in learner.history] == pytest.approx([0.01, 0.01, 0.05, 0.005])
        assert not torch.equal(learner.model.stem[0].weight, start.model.stem[0].weight)
        assert all(parameter.requires_grad for parameter in learner.model.parameters())


class StopError(Exception):
    pass


@pytest.mark.parametrize("at", [(0, 2), (1, 7), (2, 1), (3, 4)])
def test_stopped_in_either_phase_it_ends_as_if_it_had_not(tmp_path, at):
    def stop(moment):
        if (moment.epoch, moment.step) == at:
            checkpoints.save(learners, moment, 1.0)
            raise StopError

    learners, training = students(recipe=TWO), training_on(recipe=TWO)
    records = [{"id": learner.id, "spec": {}} for learner in learners]
    checkpoints = Checkpoints(tmp_path, {"unit": "u", "made": {}, "resumed": []}, {r["id"]: r for r in records}, 60)
    with pytest.raises(StopError):
        train(learners, training, callbacks=Callbacks(on_step=stop))
    again = students(recipe=TWO)
    moment = find_checkpoint(tmp_path, records).restore(again)
    train(again, training, moment)
    assert_same(again, trained(recipe=TWO))


# Plateau

LOSSES = [3.0, 2.5, 2.6, 2.49999, 2.7, 2.4, 2.4, 2.4, 2.4, 2.5, 2.6, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3]


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize(("gamma", "lr_min"), [(0.9, 1e-5), (0.5, 2e-5)])
def test_plateau_is_that_of_torch(patience, gamma, lr_min):
    recipe = {"lr": 1e-4, "gamma": gamma, "patience": patience, "lr_min": lr_min}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", gamma, patience, min_lr=lr_min, eps=0.0)
    for epoch, loss in enumerate(LOSSES):
        assert plateau_rate(recipe, LOSSES[:epoch]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        scheduler.step(loss)


def test_a_training_follows_its_own_validation_loss():
    recipe = {**RECIPE, "epochs": 5, "schedule": "plateau", "gamma": 0.5, "patience": 0, "lr_min": 0.0, "lr": 0.5}
    spec = {"stage": "student", "model": architecture("resnet8"), "recipe": recipe, "seed": 0, "loss": {"ce_weight": 1}}
    data = splits()
    learner = make_learner("teacher", spec, data["train"])
    train([learner], Training(data["train"], data["validation"], recipe, seed=0))
    losses = [row["validation_loss"] for row in learner.history]
    for epoch, row in enumerate(learner.history):
        assert row["lr"] == plateau_rate(recipe, losses[:epoch])
    logits = logits_on(learner.model, data["validation"])
    assert losses[-1] == pytest.approx(F.cross_entropy(logits, data["validation"].labels).item(), rel=1e-5)
