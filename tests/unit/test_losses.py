import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import rel_entr, softmax
from scipy.stats import entropy

from vicinal.training.losses import Answers, loss_terms, total_loss
from vicinal.training.losses.ce import loss as ce
from vicinal.training.losses.kd import loss as kd

torch.set_num_threads(1)


def answers(n=7, classes=5, temperature=2.0, seed=0, **changes) -> Answers:
    """Return random answers in float64."""
    random = np.random.default_rng(seed)
    made = {
        "logits": torch.from_numpy(random.normal(scale=3, size=(n, classes))),
        "labels": torch.from_numpy(random.integers(classes, size=n)),
        "partner_labels": torch.from_numpy(random.integers(classes, size=n)),
        "lam": torch.from_numpy(random.random(n)),
        "teacher_logits": torch.from_numpy(random.normal(scale=3, size=(n, classes))),
        "temperature": temperature,
    }
    return Answers(**{**made, **changes})


def gradient(term, given: Answers) -> torch.Tensor:
    logits = given.logits.clone().requires_grad_(True)
    term(given._replace(logits=logits)).backward()
    return logits.grad


# Distillation


@pytest.mark.parametrize("temperature", [0.5, 1, 1.0, 2.0, 4, 16.0])
def test_kd_is_the_mean_divergence_by_scipy_times_the_squared_temperature(temperature):
    given = answers(temperature=temperature)
    teacher = softmax(given.teacher_logits.numpy() / temperature, axis=1)
    student = softmax(given.logits.numpy() / temperature, axis=1)
    wanted = temperature**2 * entropy(teacher, student, axis=1).mean()
    assert kd(given).item() == pytest.approx(wanted, rel=1e-12)
    assert kd(given).item() == pytest.approx(temperature**2 * rel_entr(teacher, student).sum(axis=1).mean(), rel=1e-12)


# Teacher (3/4, 1/4), student (1/2, 1/2) at T = 1, so KL = ln 2 - H(3/4). At T = 2 the teacher's odds are √3; over their
# standard deviation, ln 3 / 2, the logits differ by 2, the odds are e².
def divergence_from_even(odds: float) -> float:
    return math.log(2) - entropy([odds / (1 + odds), 1 / (1 + odds)])


@pytest.mark.parametrize(
    ("temperature", "wanted"),
    [
        (1.0, 0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
        (2.0, 4 * divergence_from_even(math.sqrt(3))),
        ("std", divergence_from_even(math.exp(2))),
    ],
)
def test_kd_by_hand(temperature, wanted):
    zeros, taught = torch.zeros(1, 2).double(), torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    given = answers(1, 2, temperature, logits=zeros, teacher_logits=taught)
    assert kd(given).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 8.0, "std"])
def test_kd_is_zero_for_a_student_that_answers_as_its_teacher(temperature):
    given = answers(temperature=temperature)
    shifted = given._replace(logits=given.teacher_logits + torch.arange(7.0, dtype=torch.float64)[:, None])
    assert kd(shifted).item() == pytest.approx(0, abs=1e-12)
    assert kd(given).item() > 0.01
    assert gradient(kd, shifted).abs().max() < 1e-12


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradient_of_kd_in_closed_form(temperature):
    given = answers(temperature=temperature)
    softened = [F.softmax(logits / temperature, dim=1) for logits in (given.logits, given.teacher_logits)]
    wanted = temperature * (softened[0] - softened[1]) / 7
    torch.testing.assert_close(gradient(kd, given), wanted, rtol=1e-10, atol=1e-14)


def test_std_divides_by_the_population_standard_deviation():
    given = answers(temperature="std")
    teacher, student = (
        softmax(logits / (np.std(logits, axis=1, ddof=0, keepdims=True) + 1e-6), axis=1)
        for logits in (given.teacher_logits.numpy(), given.logits.numpy())
    )
    assert kd(given).item() == pytest.approx(entropy(teacher, student, axis=1).mean(), rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, "std"])
def test_kd_of_constant_logits_is_finite(temperature):
    given = answers(temperature=temperature, logits=torch.zeros(7, 5), teacher_logits=torch.full((7, 5), 3.0))
    assert kd(given).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(gradient(kd, given._replace(teacher_logits=answers().teacher_logits.float()))).all()


@pytest.mark.parametrize("temperature", [0.1, 1.0, "std"])
def test_kd_of_very_large_logits_is_finite(temperature):
    large = torch.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, 0.0]])
    given = answers(2, 3, temperature, logits=-large, teacher_logits=large)
    assert torch.isfinite(kd(given))
    assert torch.isfinite(gradient(kd, given)).all()


# Cross-entropy


def test_ce_of_mixed_labels_is_that_of_soft_labels():
    given = answers(n=50)
    hot = F.one_hot(given.labels, 5), F.one_hot(given.partner_labels, 5)
    soft = given.lam[:, None] * hot[0] + (1 - given.lam[:, None]) * hot[1]
    assert ce(given).item() == pytest.approx(F.cross_entropy(given.logits, soft).item(), rel=1e-12)
    torch.testing.assert_close(
        gradient(ce, given), gradient(lambda a: F.cross_entropy(a.logits, soft), given), rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize(("lam", "labels"), [(1.0, "labels"), (0.0, "partner_labels")])
def test_ce_at_the_ends_is_that_of_hard_labels(lam, labels):
    given = answers(lam=torch.full((7,), lam, dtype=torch.float64))
    assert ce(given).item() == pytest.approx(F.cross_entropy(given.logits, getattr(given, labels)).item(), rel=1e-12)


def test_ce_needs_no_teacher():
    given = answers()
    assert ce(given._replace(teacher_logits=None, temperature=None)).item() == ce(given).item()


# Their sum


def test_total_is_the_weighted_sum():
    given = answers(temperature=4.0)
    total = total_loss(loss_terms({"kd_weight": 0.9, "ce_weight": 0.1}), given)
    assert total.shape == ()
    assert total.item() == pytest.approx(0.9 * kd(given).item() + 0.1 * ce(given).item(), rel=1e-12)


@pytest.mark.parametrize(("name", "term"), [("kd_weight", kd), ("ce_weight", ce)])
def test_terms_without_a_weight_are_left_out(name, term):
    others = {other: 0.0 for other in ("kd_weight", "ce_weight") if other != name}
    assert loss_terms({name: 1, **others}) == loss_terms({name: 1}) == [(1.0, term)]
    # so that a term which has no meaning, here for want of a teacher, does no harm
    given = answers(teacher_logits=None, temperature=None) if name == "ce_weight" else answers(lam=None, labels=None)
    assert torch.isfinite(total_loss(loss_terms({name: 0.5, **others}), given))


def test_order_of_the_weights_does_not_matter():
    weights = {"kd_weight": 0.7, "ce_weight": 0.3}
    orders = [dict(order) for order in itertools.permutations(weights.items())]
    assert loss_terms(orders[0]) == loss_terms(orders[1]) == [(0.3, ce), (0.7, kd)]
    given = answers()._replace(logits=answers().logits.float(), teacher_logits=answers().teacher_logits.float())
    assert len({total_loss(loss_terms(order), given).item() for order in orders}) == 1


def test_unknown_term_is_an_error():
    with pytest.raises(ModuleNotFoundError, match="none"):
        loss_terms({"none_weight": 1.0})
