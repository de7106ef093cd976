"""CKA, within-class variability and the plane of three classes against plain NumPy and known invariances."""

import math

import numpy as np
import pytest

from vicinal.evaluation import metrics
from vicinal.evaluation.metrics import representations


def features(n=300, d=12, seed=0):
    """Correlated features that are not centred."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def gram_cka(x, y):
    """CKA by its definition: the HSIC of centred Gram matrices of inputs (Kornblith et al. 2019, equation 3)."""
    centre = np.eye(len(x)) - 1 / len(x)
    own, other = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return np.trace(own @ other) / math.sqrt(np.trace(own @ own) * np.trace(other @ other))


@pytest.mark.parametrize("rows", [7, 4096])
@pytest.mark.parametrize("d", [3, 40, 400])  # fewer and more than inputs
def test_cka_is_that_of_gram_matrices(d, rows, monkeypatch):
    monkeypatch.setattr(representations, "_ROWS", rows)
    x, noise = features(), features(d=d, seed=1)
    y = x @ np.random.default_rng(2).normal(size=(12, d)) + noise
    expected = gram_cka(x, y)
    assert 0.05 < expected < 0.999
    assert metrics.linear_cka(x, y) == pytest.approx(expected, rel=1e-9)
    assert metrics.linear_cka(y, x) == pytest.approx(expected, rel=1e-9)


def test_cka_does_not_see_rotation_scale_and_offset_but_other_maps():
    x = features()
    assert metrics.linear_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert metrics.linear_cka(x, 3 * x @ rotation(12) - 5) == pytest.approx(1, abs=1e-12)
    y = features(seed=1) + x
    moved = 0.2 * y @ rotation(12, 1) + 7
    assert metrics.linear_cka(x, moved) == pytest.approx(metrics.linear_cka(x, y), rel=1e-9)
    stretched = x * np.array([30.0] + [1.0] * 11)
    assert metrics.linear_cka(x, stretched) < 0.9


def test_cka_of_unrelated_features_is_near_zero():
    rng = np.random.default_rng(0)
    # Expected for independent Gaussian features: about D / N.
    assert metrics.linear_cka(rng.normal(size=(20_000, 8)), rng.normal(size=(20_000, 8))) < 5e-3


def test_cka_of_features_that_are_all_the_same_is_not_defined():
    same = np.full((50, 4), 0.1, dtype=np.float32)
    assert math.isnan(metrics.linear_cka(features(50), same))
    assert math.isnan(metrics.linear_cka(same, features(50)))


def plain_nc1(x, labels):
    """NC1 from the two matrices and NumPy's pseudo-inverse."""
    classes = sorted(set(labels.tolist()))
    means = {c: x[labels == c].mean(axis=0) for c in classes}
    centre = sum(means.values()) / len(classes)
    within = sum(np.outer(h - means[c], h - means[c]) for h, c in zip(x, labels.tolist(), strict=True)) / len(x)
    between = sum(np.outer(means[c] - centre, means[c] - centre) for c in classes) / len(classes)
    return np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / len(classes)


@pytest.mark.parametrize("rows", [7, 4096])
@pytest.mark.parametrize("classes, d", [(5, 12), (12, 5), (2, 3)])
def test_nc1_is_that_of_the_scatter_matrices(classes, d, rows, monkeypatch):
    monkeypatch.setattr(representations, "_ROWS", rows)
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 400)
    x = features(400, d) + 4 * rng.normal(size=(classes, d))[labels]
    expected = plain_nc1(x, labels)
    assert metrics.within_class_variability(x, labels) == pytest.approx(expected, rel=1e-9)
    # Rotation, scale, offset and the names of the classes do not matter.
    moved = 7 * x @ rotation(d) - 3
    assert metrics.within_class_variability(moved, 100 - 3 * labels + 200) == pytest.approx(expected, rel=1e-8)


def test_nc1_of_known_clouds():
    # Classes at ±1 on one axis, each a coin toss of ±s about it: Σ_W = s², Σ_B = 1, C = 2.
    labels = np.repeat([0, 1], 4)
    for s in (0.0, 0.5, 2.0):
        x = np.array([-1, -1, -1, -1, 1, 1, 1, 1]) + s * np.array([1, -1] * 4)
        assert metrics.within_class_variability(x[:, None], labels) == pytest.approx(s**2 / 2, abs=1e-15)
    # Noise that is orthogonal to all differences of means does not count.
    x = np.stack([[-1, -1, 1, 1], [9, -9, 9, -9]], axis=1)
    assert metrics.within_class_variability(x, [0, 0, 1, 1]) == pytest.approx(0, abs=1e-15)


def test_nc1_of_equal_means_or_one_class_is_not_defined():
    assert math.isnan(metrics.within_class_variability(features(), np.ones(300, dtype=int)))
    assert math.isnan(metrics.within_class_variability(np.full((6, 3), 0.1, dtype=np.float32), [0, 1] * 3))
    x = np.array([[0.1], [0.3], [0.1], [0.3]])
    assert math.isnan(metrics.within_class_variability(x, [0, 0, 1, 1]))


def test_the_plane_keeps_the_triangle_of_means():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    x = features(400, 12) + 9 * rng.normal(size=(4, 12))[labels]
    plane = metrics.class_plane(x, labels, [3, 0, 2])
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-12)
    means = np.stack([x[labels == c].mean(axis=0) for c in (3, 0, 2)])
    corners = plane.coordinates(means)
    for a in range(3):
        for b in range(3):
            distance = np.linalg.norm(corners[a] - corners[b])
            assert distance == pytest.approx(np.linalg.norm(means[a] - means[b]))
    assert corners.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    # The first side lies level, to the right, with the third corner above it.
    assert corners[0, 1] == pytest.approx(corners[1, 1], abs=1e-12)
    assert corners[1, 0] > corners[0, 0] and corners[2, 1] > corners[0, 1]
    # An orthogonal projection: what is left of a feature is at right angles to the plane.
    coordinates = plane.coordinates(x)
    assert coordinates.shape == (400, 2)
    left = x - plane.origin - coordinates @ plane.axes
    assert np.abs(left @ plane.axes.T).max() < 1e-10
    # Mixtures of features lie on the line between them.
    middle = plane.coordinates(0.25 * x[:1] + 0.75 * x[1:2])
    assert middle == pytest.approx(0.25 * coordinates[:1] + 0.75 * coordinates[1:2])
