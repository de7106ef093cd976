"""When the networks are compiled: where it pays, by measured times; and that it changes little."""

import pytest
import torch
from small_cohort import RECIPE, assert_same, trained

from vicinal.training.compilation import Compilation
from vicinal.training.numerics import Numerics

torch.set_num_threads(1)


def run(mode, plain, compiled, epochs):
    """Return what ran compiled, and what was said, in a run whose epochs take so many seconds."""
    said, active = [], []
    compilation = Compilation(mode, said.append)
    for epoch in range(epochs):
        active.append(compilation.active)
        compilation.after_epoch(compiled if compilation.active else plain, epochs - epoch - 1)
    return active, said


def test_a_long_run_that_gains_is_compiled_to_the_end():
    active, said = run("auto", 10.0, 8.0, 240)
    assert active == [False] * 2 + [True] * 238
    assert len(said) == 1
    assert "8.00 s, 10.00 s before: kept" in said[0]


def test_a_long_run_that_does_not_gain_is_not():
    active, said = run("auto", 10.0, 10.5, 240)
    assert active == [False] * 2 + [True] * 2 + [False] * 236
    assert "dropped" in said[0]


@pytest.mark.parametrize(("seconds", "epochs"), [(10.0, 100), (1.0, 240), (200.0, 8)])
def test_a_short_run_is_not_compiled(seconds, epochs):
    # less than 1,200 s are left
    assert run("auto", seconds, 0.5 * seconds, epochs) == ([False] * epochs, [])


def test_on_and_off_are_orders():
    assert run("on", 10.0, 20.0, 240) == ([True] * 240, [])
    assert run("off", 10.0, 2.0, 240) == ([False] * 240, [])


def test_a_failure_ends_it():
    said = []
    compilation = Compilation("auto", said.append)
    for epoch in range(2):
        compilation.after_epoch(10.0, 200 - epoch)
    assert compilation.active
    compilation.failed(RuntimeError("no compiler\nat all"))
    compilation.after_epoch(10.0, 190)
    assert not compilation.active
    assert said == ["the networks could not be compiled, so this is slower: no compiler"]


def test_networks_are_compiled_once_for_a_cohort_and_learn_the_same(monkeypatch):
    """By the compiler's front end alone: its back end takes half a minute."""
    compile_, models = torch.compile, []

    def front_end(model, **options):
        models.append(model)
        return compile_(model, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", front_end)
    torch._dynamo.reset()
    recipe = {**RECIPE, "epochs": 1}
    compiled = trained(Numerics(compile="on"), recipe=recipe)
    assert len(models) == 4  # three students and their teacher
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    for one, other in zip(compiled, trained(recipe=recipe), strict=True):
        assert one.history[0]["loss"] == pytest.approx(other.history[0]["loss"], rel=1e-4)
        torch.testing.assert_close(one.model.fc.weight, other.model.fc.weight, rtol=1e-2, atol=1e-4)


def test_a_compiler_that_fails_costs_nothing_but_speed(monkeypatch):
    def broken(model, **options):
        def forward(inputs):
            model(inputs)  # statistics have changed when it fails
            raise RuntimeError("no compiler here")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    said = []
    learners = trained(Numerics(compile="on"), say=said.append)
    assert said == ["the networks could not be compiled, so this is slower: no compiler here"]
    assert_same(learners, trained())
