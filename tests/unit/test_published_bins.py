"""The authors' published reliability bins, measured by our code: they give the numbers of ``published.csv``."""

import numpy as np
import pytest

from vicinal.analysis.published import read_published
from vicinal.evaluation import metrics

# From the authors' repository (ece_*.txt), CIFAR-100, 15 bins: test images, their mean confidence, their accuracy.
BINS = {
    ("convnext_large", "resnet50"): (
        [2, 20, 60, 87, 115, 161, 196, 262, 266, 271, 316, 311, 462, 724, 6747],
        [0.058918, 0.114395, 0.175134, 0.236211, 0.300688, 0.368736, 0.432138, 0.500587, 0.566379, 0.6354, 0.699512,
         0.766511, 0.8345, 0.903528, 0.988228],
        [0, 0.15, 0.233333, 0.321839, 0.408696, 0.440994, 0.479592, 0.480916, 0.586466, 0.597786, 0.670886, 0.742765,
         0.787879, 0.878453, 0.984289],
    ),
    ("convnext_tiny", "resnet50"): (
        [27, 51, 132, 231, 307, 392, 464, 511, 478, 473, 478, 566, 702, 1022, 4166],
        [0.037502, 0.100431, 0.170687, 0.235326, 0.302987, 0.369274, 0.433645, 0.499299, 0.565829, 0.633024, 0.701702,
         0.767095, 0.835948, 0.902204, 0.98023],
        [0.555556, 0.176471, 0.280303, 0.341991, 0.407166, 0.47449, 0.515086, 0.594912, 0.619247, 0.69556, 0.828452,
         0.821555, 0.907407, 0.930528, 0.988478],
    ),
    ("vit_base", "resnet50"): (
        [0, 15, 40, 75, 99, 119, 182, 257, 267, 293, 259, 361, 392, 686, 6955],
        [0, 0.110567, 0.171004, 0.236435, 0.30508, 0.368423, 0.435669, 0.50163, 0.56708, 0.635562, 0.700768, 0.767965,
         0.834277, 0.904176, 0.988977],
        [0, 0.266667, 0.3, 0.333333, 0.414141, 0.344538, 0.423077, 0.509728, 0.47191, 0.617747, 0.602317, 0.722992,
         0.785714, 0.827988, 0.979583],
    ),
    ("resnet152v2", "resnet50"): (
        [0, 8, 22, 56, 99, 149, 194, 279, 297, 287, 323, 346, 436, 646, 6858],
        [0, 0.108854, 0.178024, 0.236955, 0.304268, 0.367439, 0.433358, 0.499874, 0.566491, 0.634486, 0.699998,
         0.768389, 0.836247, 0.90411, 0.989866],
        [0, 0.125, 0.227273, 0.267857, 0.282828, 0.268456, 0.427835, 0.469534, 0.498316, 0.58885, 0.557276, 0.644509,
         0.699541, 0.812693, 0.972149],
    ),
    ("vit_base", None): (
        [0, 5, 22, 28, 41, 69, 108, 176, 197, 197, 194, 243, 341, 584, 7795],
        [0, 0.118103, 0.172974, 0.24231, 0.304199, 0.364502, 0.432861, 0.501465, 0.567383, 0.630859, 0.702148, 0.767578,
         0.835938, 0.902832, 0.990234],
        [0, 0.4, 0.136364, 0.357143, 0.463415, 0.405797, 0.527778, 0.4375, 0.573604, 0.558376, 0.639175, 0.711934,
         0.809384, 0.854452, 0.982553],
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", BINS, ids=str)
def test_the_published_numbers_follow_from_the_published_bins(pair):
    counts, confidence, accuracy = map(np.array, BINS[pair])
    top = np.repeat(confidence, counts)
    p = np.full((len(top), 100), ((1 - top) / 99)[:, None])
    p[:, 0] = top
    hits = np.rint(accuracy * counts).astype(int)
    y = np.concatenate([np.arange(n) >= right for n, right in zip(counts, hits, strict=True)]).astype(int)
    ours = {
        "accuracy": 100 * (y == 0).mean(), "ece15": metrics.expected_calibration_error(p, y),
        "confidence_gap": metrics.confidence_gap(p, y), "oe": metrics.overconfidence_error(p, y),
    }  # fmt: skip
    table = read_published()
    rows = table[(table["dataset"] == "cifar100") & (table["setting"] == "transfer224") & (table["teacher"] == pair[0])]
    rows = rows[rows["student"].isna() if pair[1] is None else rows["student"] == pair[1]].set_index("metric")
    assert set(rows.index) == set(ours)
    rounding = 6e-5 if pair[1] else 2e-4  # the means of the teacher are in half precision
    assert ours == pytest.approx(rows["value"].to_dict(), abs=rounding)
