import itertools

import pytest
import torch

from vicinal.optim import learning_rate, make_optimizer

torch.set_num_threads(1)

RECIPE = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": False}
STEPS = {**RECIPE, "schedule": "step", "epochs": 240, "milestones": [0.625, 0.75, 0.875], "gamma": 0.1}


def network() -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    made = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def train(step_of, steps=20) -> list[torch.Tensor]:
    """Train the network for some steps at a falling learning rate; return its parameters after each."""
    model, trace = network(), []
    step = step_of(model)
    generator = torch.Generator().manual_seed(2)
    for i in range(steps):
        inputs, labels = torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)
        step(torch.nn.functional.cross_entropy(model(inputs), labels), 0.05 * 0.9**i)
        trace.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    return trace


def ours(recipe):
    def step_of(model):
        optimizer = make_optimizer(model.parameters(), recipe)

        def step(loss, lr):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(lr)

        return step

    return step_of


def reference(recipe):
    def step_of(model):
        options = {key: recipe[key] for key in ("momentum", "weight_decay", "nesterov")}
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe["lr"], **options)

        def step(loss, lr):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    return step_of


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "nesterov"),
    [(0.0, 0.0, False), (0.9, 0.0, False), (0.0, 5e-4, False), (0.9, 5e-4, False), (0.9, 5e-4, True)],
)
def test_sgd_is_that_of_torch_bit_for_bit(momentum, weight_decay, nesterov):
    recipe = {**RECIPE, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    for step, (one, other) in enumerate(zip(train(ours(recipe)), train(reference(recipe)), strict=True)):
        assert torch.equal(one, other), step


@pytest.mark.parametrize("change", [{"momentum": 0.8}, {"weight_decay": 1e-3}, {"nesterov": True}])
def test_every_field_of_sgd_matters(change):
    assert not torch.equal(train(ours(RECIPE), 3)[-1], train(ours({**RECIPE, **change}), 3)[-1])


def test_nesterov_may_be_left_out():
    without = {key: value for key, value in RECIPE.items() if key != "nesterov"}
    assert torch.equal(train(ours(without), 3)[-1], train(ours(RECIPE), 3)[-1])


# One parameter at 1 with gradient 2, lr 0.1, momentum 0.5, weight decay 0.1: the steps by hand.
def test_sgd_by_hand():
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = make_optimizer([parameter], {**RECIPE, "momentum": 0.5, "weight_decay": 0.1})
    buffer, value = 0.0, 1.0
    for i in range(5):
        parameter.grad = torch.full((1,), 2.0, dtype=torch.float64)
        optimizer.step(0.1)
        buffer = (0.5 * buffer if i else 0.0) + 2.0 + 0.1 * value
        value -= 0.1 * buffer
        assert parameter.item() == pytest.approx(value, rel=1e-14)


def test_frozen_parameters_stay_as_they_are():
    frozen, free = torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer(iter([frozen, free]), RECIPE)
    free.grad = torch.ones(2)
    optimizer.step(0.1)
    assert torch.equal(frozen, torch.ones(2))
    assert not torch.equal(free, torch.ones(2))


def test_zero_grad_drops_gradients():
    model = network()
    optimizer = make_optimizer(model.parameters(), RECIPE)
    model(torch.ones(4, 6)).sum().backward()
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


# Schedules


@pytest.mark.parametrize(
    ("epoch", "lr"),
    [
        (0, 0.05),
        (149, 0.05),
        (150, 0.005),
        (179, 0.005),
        (180, 0.0005),
        (209, 0.0005),
        (210, 0.00005),
        (239, 0.00005),
    ],
)
@pytest.mark.parametrize("within", [0, 0.5, 781 / 782])
def test_learning_rate_drops_at_epochs_150_180_210_of_240(epoch, lr, within):
    assert learning_rate(STEPS, (epoch + within) / 240) == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize("epochs", [2, 3, 7, 8, 30, 90, 100, 240, 300])
def test_steps_are_those_of_torch(epochs):
    recipe = {**STEPS, "epochs": epochs, "milestones": [0.5, 0.75]}
    milestones = [round(0.5 * epochs), round(0.75 * epochs)]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    for epoch in range(epochs):
        assert learning_rate(recipe, epoch / epochs) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), epoch
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("milestones", [[0.3, 0.6, 0.9], [0.625, 0.75, 0.875], [0.1]])
def test_short_training_begins_with_the_full_learning_rate(epochs, milestones):
    assert learning_rate({**STEPS, "epochs": epochs, "milestones": milestones}, 0) == 0.05


def test_every_epoch_has_one_learning_rate():
    rates = [{learning_rate(STEPS, (epoch + i / 7) / 240) for i in range(7)} for epoch in range(240)]
    assert all(len(of_epoch) == 1 for of_epoch in rates)


# (epoch / epochs) · epochs may be a little less than epoch.
def test_drop_falls_on_the_start_of_its_epoch():
    for epochs in range(2, 301):
        recipe = {**STEPS, "epochs": epochs}
        for epoch in range(1, epochs):
            recipe["milestones"] = [epoch / epochs]
            assert learning_rate(recipe, (epoch - 1e-3) / epochs) == 0.05, (epoch, epochs)
            assert learning_rate(recipe, epoch / epochs) < 0.01, (epoch, epochs)


def test_gamma_and_milestones():
    recipe = {**STEPS, "epochs": 10, "milestones": [0.2, 0.4], "gamma": 0.5}
    rates = [learning_rate(recipe, epoch / 10) for epoch in range(10)]
    assert rates == pytest.approx([0.05] * 2 + [0.025] * 2 + [0.0125] * 6)
    assert learning_rate({**recipe, "milestones": []}, 0.99) == 0.05


def test_cosine():
    recipe = {**RECIPE, "schedule": "cosine", "epochs": 30}
    assert learning_rate(recipe, 0) == 0.05
    assert learning_rate(recipe, 0.5) == pytest.approx(0.025)
    assert learning_rate(recipe, 1 / 3) == pytest.approx(0.05 * 0.75)
    assert 0 < learning_rate(recipe, 1 - 1e-4) < 1e-8
    rates = [learning_rate(recipe, i / 1000) for i in range(1000)]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


def test_cosine_is_that_of_torch():
    recipe = {**RECIPE, "schedule": "cosine", "epochs": 30}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for epoch in range(30):
        assert learning_rate(recipe, epoch / 30) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_constant():
    recipe = {**RECIPE, "schedule": "constant", "epochs": 30}
    assert {learning_rate(recipe, i / 100) for i in range(100)} == {0.05}
