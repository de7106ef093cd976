import numpy as np
import pytest
import torch
from photo_files import small_store
from torch.testing import assert_close

from vicinal.data.photos.crops import random_boxes
from vicinal.data.photos.loader import photo_batches
from vicinal.training.batch_plan import batch_plan
from vicinal.training.inputs import EpochTables
from vicinal.training.photos import Photos

CPU = torch.device("cpu")
SIZE = 32


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Photos:
    return Photos(small_store(tmp_path_factory.mktemp("photos"), 34), "train", CPU, size=SIZE, threads=2)


def plan_of(photos: Photos, **settings):
    return batch_plan(len(photos), 8, seed=5, epoch=2, **{"alpha": 1.0, "crop_padding": 0, "flip": True, **settings})


def batches_of(photos: Photos, plan, mixed: bool, epoch: int = 2, first: int = 0) -> list:
    tables, pixels = EpochTables(plan, CPU), photos.pixels(plan, seed=5, epoch=epoch, first=first)
    return [
        photos.batch(own, tables, slice(*here), mixed) for here, own in zip(plan.bounds[first:], pixels, strict=True)
    ]


def expected_pixels(photos: Photos, plan) -> torch.Tensor:
    """Return normalised, flipped crops in the order of the plan, (n, H, W, C) float64, made one by one."""
    store, found = photos.store, []
    positions = store.splits["train"][plan.order]
    boxes = random_boxes(store.sizes[positions], seed=5, epoch=2)
    for i, position in enumerate(positions):
        (pixels,) = photo_batches(store, np.array([position]), [(0, 1)], SIZE, boxes=boxes[i : i + 1], threads=1)
        pixels = (pixels[0].numpy() / 255 - store.mean) / store.std
        found.append(torch.from_numpy(pixels[:, ::-1].copy() if plan.flip[i] else pixels))
    return torch.stack(found)


def test_what_it_says_of_the_data(photos):
    assert len(photos) == 30
    assert photos.labels.tolist() == photos.store.labels[photos.store.splits["train"]].tolist()
    assert (photos.num_classes, photos.channels) == (2, 3)


def test_batches_are_cropped_flipped_normalised_and_mixed_with_partners(photos):
    plan = plan_of(photos)
    pixels = expected_pixels(photos, plan)
    batches = batches_of(photos, plan, mixed=True)
    assert [len(batch.inputs) for batch in batches] == [8, 8, 8, 6]
    for (start, stop), batch in zip(plan.bounds, batches, strict=True):
        lam = torch.from_numpy(plan.lam[start:stop]).double().view(-1, 1, 1, 1)
        own, partner = pixels[start:stop], pixels[start:stop][plan.partner[start:stop]]
        expected = (lam * own + (1 - lam) * partner).permute(0, 3, 1, 2)
        assert batch.inputs.shape == (stop - start, 3, SIZE, SIZE)
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
        assert_close(batch.inputs.double(), expected, atol=1e-5, rtol=1e-5)
        labels = photos.labels[torch.from_numpy(plan.order[start:stop])]
        assert torch.equal(batch.labels, labels)
        assert torch.equal(batch.partner_labels, labels[torch.from_numpy(plan.partner[start:stop])])
        assert torch.equal(batch.lam, torch.from_numpy(plan.lam[start:stop]))


def test_without_mixing_inputs_are_the_photos_alone(photos):
    plan = plan_of(photos, alpha=None, flip=False)
    batches = batches_of(photos, plan, mixed=False)
    inputs = torch.cat([batch.inputs for batch in batches])
    assert_close(inputs.double(), expected_pixels(photos, plan).permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5)
    assert all(batch.labels is batch.partner_labels for batch in batches)


def test_an_epoch_can_be_resumed_at_any_batch(photos):
    plan = plan_of(photos)
    whole = batches_of(photos, plan, mixed=True)
    for first in range(5):
        rest = batches_of(photos, plan, mixed=True, first=first)
        assert len(rest) == 4 - min(first, 4)
        for found, expected in zip(rest, whole[first:], strict=True):
            assert torch.equal(found.inputs, expected.inputs)
            assert torch.equal(found.labels, expected.labels)


def test_crops_change_from_epoch_to_epoch(photos):
    plan = plan_of(photos)
    first = batches_of(photos, plan, mixed=False)[0]
    other = batches_of(photos, plan, mixed=False, epoch=3)[0]
    assert not torch.equal(first.inputs, other.inputs)


def test_clean_photos_are_the_same_one_by_one_in_any_order_and_in_batches(photos):
    whole = torch.cat(list(photos.clean_batches(7)))
    assert whole.shape == (30, 3, SIZE, SIZE)
    assert torch.equal(photos.clean(slice(3, 9)), whole[3:9])
    index = torch.tensor([29, 0, 0, 17])
    assert torch.equal(photos.clean(index), whole[index])
    assert photos.clean(slice(30, 40)).shape == (0, 3, SIZE, SIZE)


def test_normalisation_is_that_of_the_store(photos):
    pixels = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 1, 3)
    expected = (pixels.double() / 255 - torch.from_numpy(photos.store.mean)) / torch.from_numpy(photos.store.std)
    assert_close(photos.normalised(pixels).double(), expected, atol=1e-5, rtol=1e-5)
