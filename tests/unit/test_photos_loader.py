import io
import threading

import numpy as np
import pytest
import torch
from photo_files import photo, photo_spec, small_store, write_photos
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from vicinal.data.photos.crops import random_boxes
from vicinal.data.photos.loader import photo_batches
from vicinal.data.photos.ordered import in_order
from vicinal.data.photos.store import PhotoStore
from vicinal.data.prepare import prepare_data
from vicinal.errors import VicinalError

SIZE = 48
BOUNDS = [(0, 9), (9, 18), (18, 23), (23, 24)]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> PhotoStore:
    return small_store(tmp_path_factory.mktemp("photos"), 40)


def order(store: PhotoStore) -> np.ndarray:
    return np.random.default_rng(0).permutation(len(store.labels))[:24]


def loaded(store: PhotoStore, threads: int, crop: bool = True, size: int = SIZE) -> list[np.ndarray]:
    positions = order(store)
    boxes = random_boxes(store.sizes[positions], seed=0, epoch=0) if crop else None
    return [batch.numpy() for batch in photo_batches(store, positions, BOUNDS, size, boxes=boxes, threads=threads)]


def pictures(store: PhotoStore) -> list[Image.Image]:
    return [Image.open(io.BytesIO(store.read(int(position)))).convert("RGB") for position in order(store)]


@pytest.mark.parametrize("crop", [True, False])
def test_batches_are_the_same_whatever_the_number_of_threads(store, crop):
    expected = loaded(store, 1, crop)
    assert [batch.shape for batch in expected] == [(stop - start, SIZE, SIZE, 3) for start, stop in BOUNDS]
    for threads in (2, 5, 16, None):
        found = loaded(store, threads, crop)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_number_of_torchs_own_threads_changes_nothing(store):
    expected = loaded(store, 2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = loaded(store, 2)
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("size", [16, 48, 96])
def test_crops_are_those_of_pillow(store, size):
    boxes = random_boxes(store.sizes[order(store)], seed=0, epoch=0)
    found = np.concatenate(loaded(store, 2, size=size)).astype(int)
    for pixels, picture, (top, left, height, width) in zip(found, pictures(store), boxes.tolist(), strict=True):
        crop = picture.crop((left, top, left + width, top + height))
        near(pixels, crop.resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [24, 48, 96])
def test_evaluation_is_torchvisions_resize_and_central_crop(store, size):
    found = np.concatenate(loaded(store, 2, crop=False, size=size)).astype(int)
    for pixels, picture in zip(found, pictures(store), strict=True):
        near(pixels, CenterCrop(size)(Resize(round(size * 256 / 224))(picture)))


def near(pixels: np.ndarray, expected: Image.Image) -> None:
    difference = np.abs(pixels - np.asarray(expected))
    assert difference.max() <= 2
    assert difference.mean() < 0.25


def test_grey_and_larger_photos_are_decoded_as_by_pillow(tmp_path):
    photos = [photo(1, (500, 375)), photo(2, (375, 500), "L"), photo(3, (31, 800)), photo(4, progressive=True)]
    write_photos(tmp_path / "own", [*photos, *photos], [*photos, *photos])
    store = prepare_data(photo_spec(tmp_path, validation=2), tmp_path, tmp_path / "store")
    positions = np.arange(4)
    # Crops of their own size are not resized: these are the decoded pixels.
    for position in positions:
        left = (int(store.sizes[position, 1]) - 31) // 2
        box = np.array([[0, left, 31, 31]])
        (batch,) = photo_batches(store, np.array([position]), [(0, 1)], 31, boxes=box)
        picture = np.asarray(Image.open(io.BytesIO(store.read(int(position)))).convert("RGB"))
        assert np.array_equal(batch[0].numpy(), picture[:31, left : left + 31])


def test_a_damaged_photo_is_named(tmp_path):
    store = small_store(tmp_path)
    whole = store.read(5)
    with (tmp_path / "store" / "photos.bin").open("r+b") as file:
        file.seek(int(store.offsets[5]) + 2)
        file.write(b"\0" * (len(whole) - 2))
    with pytest.raises(VicinalError, match=r"photos.bin: photo 5 cannot be decoded: delete .* and run again"):
        list(photo_batches(store, np.arange(8), [(0, 8)], SIZE))
    with pytest.raises(VicinalError, match=r"photos.bin: its SHA-256 is not"):
        PhotoStore(tmp_path / "store")


def test_a_file_that_was_cut_meanwhile_is_named(tmp_path):
    store = small_store(tmp_path)
    with (tmp_path / "store" / "photos.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(VicinalError, match=r"photos.bin: ends within the photo"):
        list(photo_batches(store, np.arange(8), [(0, 8)], SIZE))
    with pytest.raises(VicinalError, match=r"photos.bin: 100 bytes instead of"):
        PhotoStore(tmp_path / "store")


@pytest.mark.parametrize("name", ["photos.bin", "offsets.npy", "sizes.npy", "meta.json"])
def test_a_store_that_is_not_whole_is_refused(tmp_path, name):
    small_store(tmp_path)
    (tmp_path / "store" / name).unlink()
    with pytest.raises(VicinalError, match=name):
        PhotoStore(tmp_path / "store")


def test_who_stops_early_leaves_no_thread_behind(store):
    before = threading.active_count()
    batches = photo_batches(store, order(store), BOUNDS, SIZE, threads=3)
    next(batches)
    assert before < threading.active_count() <= before + 3
    batches.close()
    assert threading.active_count() == before


def test_results_come_in_order_and_no_further_ahead_than_asked():
    looked_at = []
    release = threading.Event()

    def tasks():
        for i in range(20):
            looked_at.append(i)
            yield (i,)

    def work(i: int) -> int:
        if i == 0:
            release.wait(10)
        return i

    results = in_order(work, tasks(), 4, ahead=6)
    threading.Timer(0.1, release.set).start()
    assert next(results) == 0
    assert looked_at == list(range(7))
    assert list(results) == list(range(1, 20))


def test_an_error_in_a_thread_comes_at_its_turn():
    results = in_order(lambda i: 1 // (i - 3), ((i,) for i in range(9)), 2, ahead=4)
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
