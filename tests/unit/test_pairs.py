"""The fixed list of vicinal pairs: counts, distributions, and an independent Philox behind it."""

import numpy as np
import pytest
import scipy.stats
from philox import WORD, philox, philox_words

from vicinal.errors import VicinalError
from vicinal.evaluation.pairs import Pairs, vicinal_pairs


def expected_pairs(labels, count, seed, same_count):
    """The list by its definition: all ordered pairs of a kind, by class of i, then i, then j; take rank mod number."""
    raw = philox_words([seed, int.from_bytes(b"PAIRS", "big")], 2 * count)
    by_class = sorted(range(len(labels)), key=lambda n: labels[n])
    ranked = {
        kind: [(a, b) for a in by_class for b in by_class if a != b and (labels[a] == labels[b]) == kind]
        for kind in (True, False)
    }
    found = []
    for t in range(count):
        same = (t + 1) * same_count // count > t * same_count // count
        a, b = ranked[same][raw[t] % len(ranked[same])]
        found.append((a, b, ((raw[count + t] >> 12) + 0.5) / 2**52))
    return found


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [5, -1, 5, 5, 2, -1, 9, 5]], ids=["even", "uneven"])
def test_pairs_match_an_independent_construction(labels, seed):
    pairs = vicinal_pairs(labels, 60, seed, same_class=0.25)
    assert list(zip(pairs.i.tolist(), pairs.j.tolist(), pairs.lam.tolist(), strict=True)) == (
        expected_pairs(labels, 60, seed, same_count=15)
    )


def test_the_plain_philox_gives_the_published_known_answers():
    # From the kat_vectors of Random123, the authors' library.
    zeros = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]
    assert (philox([0] * 4, [0] * 2), philox([WORD] * 4, [WORD] * 2)) == (zeros, ones)


def same_class(pairs, labels):
    """Tell of each pair whether it joins two images of one class."""
    labels = np.asarray(labels)
    return labels[pairs.i] == labels[pairs.j]


@pytest.mark.parametrize("count, share, same", [(25_600, 0.1, 2560), (25, 0.1, 3), (7, 0.0, 0), (9, 1, 9), (1, 0.1, 0)])
def test_the_share_of_same_class_pairs_is_exact(count, share, same):
    labels = np.repeat(np.arange(100), 20)
    pairs = vicinal_pairs(labels, count, 3, share)
    assert len(pairs) == count
    is_same = same_class(pairs, labels)
    assert is_same.tolist() == [labels[a] == labels[b] for a, b in zip(pairs.i, pairs.j, strict=True)]
    assert is_same.sum() == same
    # Spread evenly: every prefix holds its share.
    assert np.abs(np.cumsum(is_same) - np.arange(1, count + 1) * same / count).max() < 1
    assert (pairs.i != pairs.j).all()
    assert ((pairs.lam > 0) & (pairs.lam < 1)).all()
    assert (pairs.i.dtype, pairs.j.dtype, pairs.lam.dtype) == (np.int64, np.int64, np.float64)


def test_lam_is_uniform_and_independent_of_the_kind():
    labels = np.repeat(np.arange(10), 50)
    pairs = vicinal_pairs(labels, 25_600, 0)
    for chosen in (same_class(pairs, labels), ~same_class(pairs, labels)):
        assert scipy.stats.kstest(pairs.lam[chosen], "uniform").pvalue > 0.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_every_ordered_pair_of_a_kind_is_equally_likely(share):
    labels = np.array([0, 1, 1, 2, 2, 2, 0, 2])
    pairs = vicinal_pairs(labels, 20_000, 1, share)
    counts = np.zeros((8, 8))
    np.add.at(counts, (pairs.i, pairs.j), 1)
    allowed = (labels[:, None] == labels) == bool(share)
    np.fill_diagonal(allowed, False)
    assert counts[~allowed].sum() == 0
    assert scipy.stats.chisquare(counts[allowed]).pvalue > 0.01


def test_pairs_depend_on_the_arguments_only():
    labels = np.repeat(np.arange(5), 30)
    first = vicinal_pairs(labels, 500, 0)
    for same in (vicinal_pairs(labels.tolist(), 500, 0), vicinal_pairs(labels.astype(np.uint8), 500, 0)):
        assert (same.i == first.i).all()
        assert (same.j == first.j).all()
        assert (same.lam == first.lam).all()
    other = vicinal_pairs(labels, 500, 1)
    assert np.mean(other.i == first.i) < 0.05
    assert np.abs(np.corrcoef(other.lam, first.lam)[0, 1]) < 0.2


def test_a_class_with_one_image_has_no_same_class_pairs():
    labels = [0, 1, 1, 2]
    pairs = vicinal_pairs(labels, 200, 0, same_class=0.5)
    same = same_class(pairs, labels)
    assert set(pairs.i[same]) == set(pairs.j[same]) == {1, 2}
    assert set(pairs.i[~same]) == set(pairs.j[~same]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": [4, 4, 4]}, "pairs: different-class pairs are wanted.*not two classes"),
        ({"labels": [0, 1, 2]}, "pairs: same-class pairs are wanted.*no class has two images"),
        ({"labels": np.zeros(0, dtype=int)}, "pairs: same-class pairs are wanted.*0 images"),
    ],
)
def test_impossible_pairs_get_one_clear_line(change, message):
    arguments = {"labels": [0, 0, 1, 1], "count": 40, "seed": 0, **change}
    with pytest.raises(VicinalError, match=message):
        vicinal_pairs(**arguments)


def test_only_the_wanted_kinds_need_to_exist():
    assert len(vicinal_pairs([4, 4, 4], 10, 0, same_class=1)) == 10
    assert len(vicinal_pairs([0, 1, 2], 10, 0, same_class=0)) == 10


def test_pairs_can_be_made_by_hand():
    pairs = Pairs(i=np.array([0, 1]), j=np.array([1, 2]), lam=np.array([0.5, 0.25]))
    assert len(pairs) == 2
