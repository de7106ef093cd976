from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as tv

from vicinal.models.registry import architecture, input_of
from vicinal.training.batch_plan import BatchPlan, batch_plan
from vicinal.training.inputs import EpochTables, Images, Window, adapt, as_input, make_batch, mix, to_device, window_of

torch.set_num_threads(1)
CPU = torch.device("cpu")


def fake_store(channels=3, height=7, width=5, n=40) -> SimpleNamespace:
    """Return what Images takes from a store: images that are not square and differ in every pixel."""
    random = np.random.default_rng(channels)
    return SimpleNamespace(
        images=random.integers(1, 256, size=(n, height, width, channels), dtype=np.uint8),
        labels=random.integers(10, size=n),
        splits={"train": np.arange(3, 33), "test": np.arange(33, n)},
        num_classes=10,
        mean=np.array([0.5, 0.4, 0.3])[:channels],
        std=np.array([0.25, 0.2, 0.3])[:channels],
    )


@pytest.fixture(params=[3, 1], ids=["rgb", "grey"])
def store(request) -> SimpleNamespace:
    return fake_store(request.param)


def normalised(store, images: np.ndarray) -> np.ndarray:
    """Return float64 (N, C, H, W) by the definition."""
    return ((images / 255 - store.mean) / store.std).transpose(0, 3, 1, 2)


def looped(images: np.ndarray, plan: BatchPlan, padding: int) -> np.ndarray:
    """Return the crops, image by image."""
    height, width = images.shape[1:3]
    crops = []
    for position, index in enumerate(plan.order):
        padded = np.pad(images[index], ((padding, padding), (padding, padding), (0, 0)))
        row, column = plan.row[position], plan.column[position]
        crop = padded[row : row + height, column : column + width]
        crops.append(crop[:, ::-1] if plan.flip[position] else crop)
    return np.stack(crops)


def crops(data: Images, plan: BatchPlan, padding: int) -> torch.Tensor:
    tables = EpochTables(plan, CPU)
    return data.cropped(tables.order, tables.row, tables.column, tables.flip, padding)


# Images of a split


def test_split_is_copied_from_the_store(store):
    data = Images(store, "train", CPU)
    assert len(data) == 30
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64
    assert (data.channels, data.num_classes) == (store.images.shape[3], 10)
    np.testing.assert_array_equal(data.images.numpy(), store.images[3:33])
    np.testing.assert_array_equal(data.labels.numpy(), store.labels[3:33])
    assert len(Images(store, "test", CPU)) == 7


def test_split_of_a_read_only_store(tmp_path):
    given = fake_store()
    np.save(tmp_path / "images.npy", given.images)
    given.images = np.load(tmp_path / "images.npy", mmap_mode="r")
    given.labels.flags.writeable = False
    data = Images(given, "train", CPU)
    data.images.zero_()
    assert (given.images[3:33] > 0).all()


@pytest.mark.parametrize("index", [slice(None), slice(4, 9), torch.tensor([5, 0, 5, 29])])
def test_clean_images_are_normalised_by_channel(store, index):
    data = Images(store, "train", CPU)
    inputs = data.clean(index)
    wanted = normalised(store, store.images[3:33][index if isinstance(index, slice) else index.numpy()])
    assert inputs.dtype == torch.float32
    np.testing.assert_allclose(inputs.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_images_stay_as_they_are(store):
    data = Images(store, "train", CPU)
    before = data.images.clone()
    data.clean(slice(None))
    plan = batch_plan(30, 8, seed=0, epoch=0, alpha=1.0, crop_padding=2, flip=True)
    make_batch(data, EpochTables(plan, CPU), slice(0, 8), {"crop_padding": 2, "flip": True}, mixed=True)
    make_batch(data, EpochTables(plan, CPU), slice(0, 8), {"crop_padding": 0, "flip": False}, mixed=True)
    assert torch.equal(data.images, before)


# Crop and flip


@pytest.mark.parametrize("padding", [0, 1, 4, 9])
@pytest.mark.parametrize("flip", [False, True])
def test_crops_are_those_of_a_loop(store, padding, flip):
    data = Images(store, "train", CPU)
    plan = batch_plan(30, 8, seed=1, epoch=2, alpha=None, crop_padding=padding, flip=flip)
    made = crops(data, plan, padding)
    assert made.dtype == torch.uint8
    np.testing.assert_array_equal(made.numpy(), looped(store.images[3:33], plan, padding))


# Batches


def batches(data: Images, plan: BatchPlan, padding: int, flip: bool, mixed: bool):
    tables = EpochTables(plan, CPU)
    recipe = {"crop_padding": padding, "flip": flip}
    return [make_batch(data, tables, slice(*bounds), recipe, mixed) for bounds in tables.bounds]


@pytest.mark.parametrize(("padding", "flip"), [(2, True), (2, False), (0, True), (0, False)])
@pytest.mark.parametrize("mixed", [False, True])
def test_batches_follow_the_definition(store, padding, flip, mixed):
    data = Images(store, "train", CPU)
    plan = batch_plan(30, 8, seed=5, epoch=1, alpha=0.5 if mixed else None, crop_padding=padding, flip=flip)
    images = normalised(store, looped(store.images[3:33], plan, padding))
    labels = store.labels[3:33][plan.order]
    made = batches(data, plan, padding, flip, mixed)
    assert [len(batch.inputs) for batch in made] == [8, 8, 8, 6]
    for batch, (start, stop) in zip(made, plan.bounds, strict=True):
        lam = plan.lam[start:stop].astype(np.float64).reshape(-1, 1, 1, 1)
        own, partner = images[start:stop], images[start:stop][plan.partner[start:stop]]
        wanted = lam * own + (1 - lam) * partner if mixed else own
        assert batch.inputs.dtype == torch.float32
        np.testing.assert_allclose(batch.inputs.numpy(), wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(batch.labels.numpy(), labels[start:stop])
        mates = labels[start:stop][plan.partner[start:stop]] if mixed else labels[start:stop]
        np.testing.assert_array_equal(batch.partner_labels.numpy(), mates)
        np.testing.assert_array_equal(batch.lam.numpy(), plan.lam[start:stop])


# Mixing


def test_mix_is_the_weighted_sum():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, 3, 4, 4, generator=generator, dtype=torch.float64)
    lam = torch.rand(6, generator=generator, dtype=torch.float64)
    wanted = np.einsum("n,n...->n...", lam, first) + np.einsum("n,n...->n...", 1 - lam, second)
    np.testing.assert_allclose(mix(first, second, lam).numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_mix_at_the_ends_is_exact():
    first, second = torch.randn(2, 4, 3, 5, 5)
    assert torch.equal(mix(first, second, torch.ones(4)), first)
    assert torch.equal(mix(first, second, torch.zeros(4)), second)
    assert torch.equal(mix(first, first, torch.rand(4)), first)


# Layout


def test_inputs_and_weights_are_channels_last_and_mean_the_same():
    pixels = torch.arange(2 * 4 * 5 * 3, dtype=torch.float32).view(2, 4, 5, 3)
    inputs = as_input(pixels)
    assert inputs.shape == (2, 3, 4, 5)
    assert inputs[1, 2, 3, 4] == pixels[1, 3, 4, 2]
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    network = torch.nn.Conv2d(3, 4, 3)
    before = network(inputs.contiguous())
    assert to_device(network, CPU) is network
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(inputs), before)


# Windows of resized images


def test_windows_are_those_of_torchvision():
    window = Window(20, 12)
    data = Images(fake_store(), "train", CPU, window)
    plan = batch_plan(30, 8, seed=1, epoch=2, alpha=None, crop_padding=window.room, flip=True)
    tables = EpochTables(plan, CPU)
    made = data.cut(tables.order, tables.row, tables.column, tables.flip).permute(0, 3, 1, 2)
    assert made.shape == (30, 3, 12, 12)
    assert set(plan.row.tolist()) <= set(range(9))
    for position, index in enumerate(plan.order):
        pixels = data.normalised(data.images[index]).permute(2, 0, 1)
        image = tv.resize(pixels, [20, 20], antialias=False)
        image = tv.crop(image, int(plan.row[position]), int(plan.column[position]), 12, 12)
        torch.testing.assert_close(made[position], tv.hflip(image) if plan.flip[position] else image)


def test_without_random_choices_the_window_is_in_the_middle():
    data, plain = (Images(fake_store(), "train", CPU, window) for window in (Window(20, 12), None))
    image = tv.center_crop(tv.resize(plain.clean(slice(0, 5)), [20, 20], antialias=False), [12, 12])
    torch.testing.assert_close(data.clean(slice(0, 5)), image)


def test_batches_of_windows_are_mixed_after_they_are_cut():
    window = Window(10, 8)
    data = Images(fake_store(), "train", CPU, window)
    plan = batch_plan(30, 8, seed=1, epoch=2, alpha=1.0, crop_padding=window.room, flip=True)
    tables, recipe = EpochTables(plan, CPU), {"crop_padding": 0, "flip": True}
    here = slice(*plan.bounds[1])
    made = make_batch(data, tables, here, recipe, mixed=True)
    alone = make_batch(data, tables, here, recipe, mixed=False).inputs
    lam = tables.lam[here].view(-1, 1, 1, 1)
    torch.testing.assert_close(made.inputs, lam * alone + (1 - lam) * alone[tables.partner[here]])


@pytest.mark.parametrize("recipe", [{}, {"crop_padding": 4}])
def test_a_recipe_without_a_window_has_none(recipe):
    assert window_of(recipe) is None
    assert window_of({"resize": 236, "crop": 224}) == Window(236, 224)
    assert window_of({"resize": 236, "crop": 224}).room == 6


# Normalisation of a network's own


def test_a_network_gets_images_in_its_own_normalisation():
    data = Images(fake_store(), "train", CPU)
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    photo = architecture("resnet18_imagenet")
    adapt(Network(), {"model": photo}, data)(data.clean(slice(0, 4)))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in input_of(photo)[1:])
    torch.testing.assert_close(seen[0], (data.images[:4].permute(0, 3, 1, 2) / 255 - mean) / std, rtol=1e-4, atol=1e-5)
    # small networks take the data set's own
    adapt(Network(), {"model": architecture("resnet8")}, data)(data.clean(slice(0, 4)))
    assert torch.equal(seen[1], data.clean(slice(0, 4)))
