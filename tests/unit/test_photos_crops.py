import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare, ks_2samp, kstest
from torchvision.transforms import CenterCrop, RandomResizedCrop, Resize

from vicinal.data.photos import crops
from vicinal.data.photos.crops import central_corner, evaluation_side, random_boxes, resized_shape
from vicinal.training import batch_plan as batches

DRAWS = 4000
# Height and width: usual ones, a long one of which few crops fit at the first try, and one of which none ever fits.
SHAPES = [(375, 500), (500, 333), (160, 160), (60, 400), (1000, 20)]


def ours(shape: tuple[int, int], **settings) -> np.ndarray:
    return random_boxes(np.tile(shape, (DRAWS, 1)), seed=3, epoch=7, **settings)


def torchvisions(shape: tuple[int, int]) -> np.ndarray:
    picture = torch.empty(1, *shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = [RandomResizedCrop.get_params(picture, (0.08, 1), (3 / 4, 4 / 3)) for _ in range(DRAWS)]
    return np.array(draws)


def features(boxes: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    top, left, height, width = boxes.T
    return {
        "area": height * width / math.prod(shape),
        "ratio": np.log(width / height),
        "top": top / np.maximum(shape[0] - height, 1),
        "left": left / np.maximum(shape[1] - width, 1),
        "joint": height * width * np.log(width / height),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_crops_are_distributed_as_torchvisions(shape):
    first, second = features(ours(shape), shape), features(torchvisions(shape), shape)
    for name in first:
        assert ks_2samp(first[name], second[name]).pvalue > 1e-3, name


def test_crops_of_a_large_photo_follow_the_stated_laws():
    # On a square all shares below 3/4 fit whatever the ratio.
    shape = (4000, 4000)
    boxes = features(random_boxes(np.tile(shape, (DRAWS, 1)), seed=0, epoch=0, area=(0.08, 0.7)), shape)
    assert kstest(boxes["area"], "uniform", (0.08, 0.62)).pvalue > 1e-3
    low, high = math.log(3 / 4), math.log(4 / 3)
    assert kstest(boxes["ratio"], "uniform", (low, high - low)).pvalue > 1e-3
    assert kstest(boxes["top"], "uniform").pvalue > 1e-3
    assert kstest(boxes["left"], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(boxes["top"], boxes["left"])[0, 1]) < 0.06


def test_every_place_is_as_likely_the_last_one_too():
    boxes = random_boxes(np.tile((8, 8), (DRAWS, 1)), seed=1, epoch=0, area=(0.25, 0.25), aspect=(1, 1))
    assert (boxes[:, 2:] == 4).all()
    for column in (0, 1):
        assert chisquare(np.bincount(boxes[:, column], minlength=5)).pvalue > 1e-3


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (1, 9), (9, 1), (2, 3)])
def test_crops_lie_within_the_photo(shape):
    top, left, height, width = ours(shape).T
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()


def test_a_photo_that_no_crop_fits_into_is_cropped_centrally_as_by_torchvision():
    for shape in ((1000, 20), (20, 1000)):
        boxes = np.unique(ours(shape), axis=0)
        assert boxes.tolist() == np.unique(torchvisions(shape), axis=0).tolist()
        assert len(boxes) == 1


def test_a_crop_depends_on_seed_epoch_and_place_only():
    sizes = np.tile((375, 500), (50, 1))
    boxes = random_boxes(sizes, seed=1, epoch=2)
    assert np.array_equal(boxes, random_boxes(sizes, seed=1, epoch=2))
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert not np.array_equal(boxes, random_boxes(sizes, **other))
    # Photos of which crops are drawn again and again change nothing for the others.
    mixed = sizes.copy()
    mixed[::2] = (60, 400)
    assert np.array_equal(random_boxes(mixed, seed=1, epoch=2)[1::2], boxes[1::2])


def test_no_stretch_of_the_counter_is_used_twice():
    kinds = [getattr(batches, kind) for kind in ("ORDER", "PARTNER", "LAM", "ROW", "COLUMN", "FLIP")]
    for first in (crops.AREA, crops.RATIO, crops.TOP, crops.LEFT):
        kinds += range(first, first + crops.TRIES)
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (160, 160), (333, 500), (257, 255), (100, 3000), (60, 61)])
@pytest.mark.parametrize("size", [224, 160, 97])
def test_the_centre_is_torchvisions(shape, size):
    picture = Image.new("RGB", shape[::-1])
    side = evaluation_side(size)
    resized = Resize(side)(picture)
    assert resized_shape(*shape, side) == resized.size[::-1]
    # A picture whose grey values tell rows and columns.
    rows, columns = np.indices(resized.size[::-1])
    marked = Image.fromarray(np.stack([rows % 256, columns % 256, rows // 256 + columns // 256], -1).astype(np.uint8))
    top, left = central_corner(*resized.size[::-1], size)
    expected = np.asarray(CenterCrop(size)(marked))
    assert np.array_equal(np.asarray(marked)[top : top + size, left : left + size], expected)


def test_the_published_sides():
    assert evaluation_side(224) == 256
