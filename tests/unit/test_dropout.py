"""The dropout of the heads: torch's by its distribution, and the same in any company."""

import pytest
import torch
from scipy.stats import binomtest, chisquare

from vicinal.models.heads import Dropout, _mixed


def layer(share=0.3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dropout(share).train()


def test_the_mixing_function_is_splitmix64():
    # the first numbers of the generator with seed 1234567, as published with its reference code
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    step = -7046029254386353131  # 0x9E3779B97F4A7C15, signed
    state = torch.tensor(1234567)
    for value in expected:
        assert _mixed(state).item() % 2**64 == value
        state = state + step


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_share_is_dropped_and_the_rest_scaled_up(share):
    dropout, x = layer(share), torch.ones(200, 256)
    y = dropout(x)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / (1 - share)).item()}
    assert binomtest(int((y == 0).sum()), y.numel(), share).pvalue > 1e-3
    assert torch.equal(dropout.eval()(x), x)


def test_choices_are_independent_of_place_and_time():
    dropout = layer(0.5)
    kept = torch.stack([dropout(torch.ones(64, 64)) > 0 for _ in range(64)]).double()
    for first, second in ((kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1]), (kept[..., 1:], kept[..., :-1])):
        counts = torch.histc(2 * first + second, bins=4, min=0, max=3)
        assert chisquare(counts.numpy()).pvalue > 1e-3


def test_seeds_and_calls_differ_and_the_count_goes_with_the_weights():
    x = torch.ones(8, 256)
    first, same, other = layer(), layer(), layer(seed=1)
    one, two = first(x), first(x)
    assert not torch.equal(one, two)
    assert torch.equal(one, same(x))
    assert not torch.equal(one, other(x))
    later = layer()
    later.load_state_dict(same.state_dict())
    assert torch.equal(two, later(x))
    # of no other generator
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first(x)
    assert torch.equal(state, torch.random.get_rng_state())


def test_gradients_are_those_of_what_was_kept():
    dropout, x = layer(), torch.ones(4, 16, requires_grad=True)
    y = dropout(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
