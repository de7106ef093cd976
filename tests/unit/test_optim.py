import itertools

import pytest
import torch

from vicinal.training.optimizers import learning_rate, make_optimizer, update

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
            update([optimizer], torch.tensor(lr, dtype=torch.float64))

        return step

    return step_of


def theirs(kind, **options):
    def step_of(model):
        optimizer = kind(model.parameters(), fused=True, **options)

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
    options = {"lr": RECIPE["lr"], "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    pairs = zip(train(ours({**RECIPE, **options})), train(theirs(torch.optim.SGD, **options)), strict=True)
    for step, (one, other) in enumerate(pairs):
        assert torch.equal(one, other), step


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_adam_is_that_of_torch_bit_for_bit(weight_decay):
    options = {"lr": 0.05, "weight_decay": weight_decay}
    pairs = zip(train(ours({"optimizer": "adam", **options})), train(theirs(torch.optim.Adam, **options)), strict=True)
    for step, (one, other) in enumerate(pairs):
        assert torch.equal(one, other), step


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_optimiser_goes_on_with_the_buffers_of_another(optimizer):
    recipe = {**RECIPE, "optimizer": optimizer}
    one, other = network(), network()
    first, second = (make_optimizer(model.parameters(), recipe) for model in (one, other))

    def step(model, made, k):
        made.zero_grad()
        model(torch.full((4, 6), k + 1.0)).square().sum().backward()
        update([made], torch.tensor(0.01))

    for k in range(3):
        step(one, first, k)
    other.load_state_dict(one.state_dict())
    second.load(first.buffers)
    for model, made in ((one, first), (other, second)):
        step(model, made, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first.buffers, second.buffers, strict=True))


def test_nesterov_may_be_left_out():
    without = {key: value for key, value in RECIPE.items() if key != "nesterov"}
    assert torch.equal(train(ours(without), 3)[-1], train(ours(RECIPE), 3)[-1])


def test_many_networks_in_one_call_are_updated_as_each_alone():
    def gradients(optimizers):
        for k, optimizer in enumerate(optimizers):
            for parameter in optimizer.parameters:
                parameter.grad = torch.full_like(parameter, k + 1.0)
        return optimizers

    together, alone = ([make_optimizer(network().parameters(), RECIPE) for _ in range(3)] for _ in range(2))
    for _ in range(3):
        update(gradients(together), torch.tensor(0.1))
        for optimizer in gradients(alone):
            update([optimizer], torch.tensor(0.1))
    for one, other in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
    assert not torch.equal(together[0].parameters[0], together[1].parameters[0])


def test_frozen_parameters_stay_as_they_are():
    frozen, free = torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer(iter([frozen, free]), RECIPE)
    free.grad = torch.ones(2)
    update([optimizer], torch.tensor(0.1))
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
    [(0, 0.05), (149, 0.05), (150, 0.005), (179, 0.005), (180, 5e-4), (209, 5e-4), (210, 5e-5), (239, 5e-5)],
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


def test_cosine_is_that_of_torch():
    recipe = {**RECIPE, "schedule": "cosine", "epochs": 30}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for epoch in range(30):
        assert learning_rate(recipe, epoch / 30) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()
    rates = [learning_rate(recipe, i / 1000) for i in range(1000)]  # within epochs it falls too
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


def test_constant():
    recipe = {**RECIPE, "schedule": "constant", "epochs": 30}
    assert {learning_rate(recipe, i / 100) for i in range(100)} == {0.05}


AUTHORS = {"schedule": "piecewise", "epochs": 500, "lr": 5e-4, "milestones": [0.02, 0.1, 0.4]}
AUTHORS["factors"] = [0.02, 1, 0.2, 0.1, 0.02]


@pytest.mark.parametrize(
    ("epoch", "lr"),
    # 1e-5 to 5e-4 in a line until epoch 10, then by half cosines to 1e-4 (50), 5e-5 (200) and 1e-5 (500)
    [(0, 1e-5), (5, 2.55e-4), (10, 5e-4), (30, 3e-4), (50, 1e-4), (125, 7.5e-5), (200, 5e-5), (350, 3e-5), (500, 1e-5)],
)
def test_the_authors_learning_rate(epoch, lr):
    assert learning_rate(AUTHORS, epoch / 500) == pytest.approx(lr, rel=1e-9)


def test_a_piece_that_falls_is_the_cosine_of_torch():
    recipe = {"schedule": "piecewise", "epochs": 20, "lr": 0.1, "milestones": [], "factors": [1, 0]}
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for epoch in range(20):
        assert learning_rate(recipe, epoch / 20) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()
