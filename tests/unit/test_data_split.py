import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from philox import philox_words

from vicinal.data.split import hold_out_test, make_splits, stratified_counts, stratified_split
from vicinal.errors import VicinalError


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (7, 3), (2**64 - 1, 1)])
def test_the_draw_is_the_smallest_words_of_each_class(seed, stream):
    labels = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1, 0, 1, 2] * 3)
    keys = philox_words([seed, stream], len(labels))
    expected: dict[str, list[int]] = {"a": [], "b": []}
    for label in range(3):
        order = sorted(np.flatnonzero(labels == label), key=lambda i: keys[i])
        expected["a"] += order[:5]
        expected["b"] += order[5:7]
    parts = stratified_split(labels, {"a": 15, "b": 6}, seed, stream)
    assert {name: part.tolist() for name, part in parts.items()} == {k: sorted(v) for k, v in expected.items()}
    assert parts["a"].dtype == np.int64


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.floats(0, 1), st.integers(0, 9))
def test_counts_are_the_rounded_quotas(available, share, seed):
    available = np.array(available)
    size = round(share * available.sum())
    keys = np.random.default_rng(seed).integers(0, 2**63, len(available))
    counts = stratified_counts(available, size, keys)
    quotas = size * available / max(available.sum(), 1)
    assert counts.sum() == size
    assert (counts <= available).all()
    assert (np.abs(counts - quotas) < 1).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.floats(0, 1), st.integers(0, 2), st.integers(0, 2))
def test_classes_give_the_least_and_keep_the_rest_where_the_size_allows_it(available, share, least, left):
    available = np.array(available)
    size, keys = round(share * available.sum()), np.arange(len(available))
    counts, plain = (stratified_counts(available, size, keys, *bounds) for bounds in ((least, left), (0, 0)))
    low, high = np.minimum(available, least), np.maximum(available - left, 0)
    assert counts.sum() == size
    if low.sum() <= size <= high.sum() and (low <= high).all():
        assert ((low <= counts) & (counts <= high)).all()
    if ((low <= plain) & (plain <= high)).all():
        assert np.array_equal(counts, plain)


@pytest.mark.parametrize("seed", range(5))
def test_train_keeps_the_only_image_of_a_class(seed):
    labels = np.concatenate([np.repeat([0, 1, 2], 200), np.arange(3, 303), np.tile(np.arange(303), 2)])
    given_ = source(labels, 900)
    for more in ({"validation": 0.1}, {"validation": 0.5}, {"validation": 90, "limit_train": 305}):
        splits = make_splits(labels, given_, seed=seed, **more)
        assert (np.bincount(labels[splits["train"]], minlength=303) >= 1).all()
        assert len(splits["validation"]) == (450 if more["validation"] == 0.5 else 90)
    train, test = hold_out_test(labels[:900], 500, seed)
    assert (len(train), len(test)) == (400, 500)
    assert (np.bincount(labels[train], minlength=303) >= 1).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=10, max_size=80), st.integers(0, 2**64 - 1))
def test_parts_are_disjoint_sorted_and_of_the_sizes_asked_for(labels, seed):
    sizes = {"a": len(labels) // 3, "b": 2, "c": len(labels) // 4}
    parts = stratified_split(np.array(labels), sizes, seed)
    assert {name: len(part) for name, part in parts.items()} == sizes
    joined = np.concatenate(list(parts.values()))
    assert len(np.unique(joined)) == len(joined)
    assert all((np.diff(part) > 0).all() for part in parts.values())


def test_classes_of_one_size_differ_by_one_at_most_and_the_seed_says_which():
    labels = np.repeat(np.arange(100), 30)
    chosen = [
        np.bincount(labels[stratified_split(labels, {"a": 1_250}, seed)["a"]], minlength=100) for seed in range(20)
    ]
    assert all(set(counts) == {12, 13} for counts in chosen)
    # 50 of 100 classes get one more, in 20 seeds: were it not for the seed, some class always would.
    assert ((np.mean(chosen, axis=0) > 12) & (np.mean(chosen, axis=0) < 13)).all()


def source(labels: np.ndarray, train: int, validation: int = 0) -> dict[str, np.ndarray]:
    positions = np.arange(len(labels))
    parts = {"train": positions[:train], "test": positions[train + validation :]}
    return parts | ({"validation": positions[train : train + validation]} if validation else {})


LABELS = np.tile(np.arange(10), 60)


def test_cifar_sizes_are_balanced():
    labels = np.tile(np.arange(100), 600)
    splits = make_splits(labels, source(labels, 50_000), seed=0, validation=5_000)
    assert {name: len(part) for name, part in splits.items()} == {"train": 45_000, "validation": 5_000, "test": 10_000}
    for name, each in {"train": 450, "validation": 50, "test": 100}.items():
        assert (np.bincount(labels[splits[name]]) == each).all()
    assert not np.intersect1d(splits["train"], splits["validation"]).size
    assert splits["test"].tolist() == list(range(50_000, 60_000))


def test_a_share_is_a_count_of_the_train_split():
    by_share = make_splits(LABELS, source(LABELS, 500), seed=1, validation=0.1)
    by_count = make_splits(LABELS, source(LABELS, 500), seed=1, validation=50)
    assert all(np.array_equal(by_share[name], by_count[name]) for name in by_count)


def test_limits_take_stratified_subsets_and_leave_the_other_parts_alone():
    full = make_splits(LABELS, source(LABELS, 500), seed=1, validation=100)
    part = make_splits(LABELS, source(LABELS, 500), seed=1, validation=100, limit_train=200, limit_test=40)
    assert {name: len(positions) for name, positions in part.items()} == {"train": 200, "validation": 40, "test": 40}
    assert all(np.isin(part[name], full[name]).all() for name in full)
    assert all(len(set(np.bincount(LABELS[part[name]]))) == 1 for name in full)
    assert np.array_equal(
        make_splits(LABELS, source(LABELS, 500), seed=1, validation=100, limit_train=200)["test"], full["test"]
    )


def test_the_sources_own_validation_split_is_used_unless_a_size_is_asked_for():
    own = source(LABELS, 400, validation=100)
    assert make_splits(LABELS, own, seed=0)["validation"].tolist() == list(range(400, 500))
    cut = make_splits(LABELS, own, seed=0, validation=50)
    assert cut["validation"].max() < 400
    assert len(cut["train"]) == 350


def test_defaults_are_used_where_nothing_is_asked_for():
    splits = make_splits(LABELS, source(LABELS, 500), seed=0, default_validation=200, default_train=100)
    assert [len(splits[name]) for name in ("train", "validation")] == [100, 200]
    splits = make_splits(LABELS, source(LABELS, 500), seed=0, default_validation=450, default_train=100)
    assert len(splits["train"]) == 50


def test_hold_out_test_parts_are_all_images():
    train, test = hold_out_test(LABELS, 300, seed=0)
    assert sorted([*train, *test]) == list(range(600))
    assert (np.bincount(LABELS[test]) == 30).all()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"validation": 500}, ["data.validation", "500", "499"]),
        ({"validation": 501}, ["data.validation", "501", "499"]),
        ({"validation": 0}, ["data.validation", "0", "share"]),
        ({"validation": -0.5}, ["data.validation", "-0.5"]),
        ({"validation": 10.5}, ["data.validation", "10.5", "whole"]),
        ({"validation": 0.0001}, ["data.validation", "0.0001", "500"]),
        ({"validation": 495}, ["data.validation", "class", "5 images for 10 classes"]),
        ({"limit_train": 451}, ["data.limit_train", "451", "450"]),
        ({"limit_train": 9}, ["data.limit_train", "class", "9 images for 10 classes"]),
        ({"limit_train": 0}, ["data.limit_train", "0"]),
        ({"limit_test": 10}, ["the test split cannot", "no class has two images", "raise data.limit_test"]),
        ({"limit_train": 10}, ["the train split cannot", "no class has two images", "raise data.limit_train"]),
        ({"limit_test": 101}, ["data.limit_test", "101", "100", "test split"]),
        ({"limit_test": 2.5}, ["data.limit_test", "2.5"]),
    ],
)
def test_impossible_sizes_are_named(more, words):
    with pytest.raises(VicinalError) as error:
        make_splits(LABELS, source(LABELS, 500), **{"seed": 0, "validation": 50, **more})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_test_split_of_one_class_is_refused():
    labels = np.concatenate([LABELS[:500], np.full(100, 3)])
    with pytest.raises(VicinalError, match=r"the test split cannot show what happens .* all images are of one class"):
        make_splits(labels, source(labels, 500), seed=0, validation=50)
