"""What is said of images that a user may not know to be so: in two splits, turned, transparent."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from vicinal.data.catalogue import resolve_source
from vicinal.data.photos.encode import encode_photo
from vicinal.data.prepare import prepare_data
from vicinal.data.store import DataStore

STORES = ("array", "photos")
ORIENTATION = 0x0112


def pixels(seed: int, shape: tuple[int, ...] = (16, 16, 3)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, shape[2]), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def encode(array: np.ndarray, form: str = "PNG", orientation: int | None = None) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    Image.fromarray(array).save(file, form, exif=exif)
    return file.getvalue()


def prepare(root, store: str, train: list[bytes], test: list[bytes], **more) -> DataStore:
    (root / "own").mkdir(exist_ok=True)
    for split, images in (("train", train), ("test", test)):
        table = pa.table({"image": pa.array(images, pa.binary()), "label": [i % 2 for i in range(len(images))]})
        pq.write_table(table, root / "own" / f"{split}.parquet")
    spec = {"name": "own", **resolve_source("own", root), "validation": 4, "split_seed": 0, **more}
    return prepare_data({**spec, "store": store}, root, root / store)


@pytest.mark.parametrize("store", STORES)
def test_images_that_are_in_two_splits_are_counted_and_said(tmp_path, store, capsys):
    train = [encode(pixels(i)) for i in range(20)]
    made = prepare(tmp_path, store, train, [encode(pixels(100 + i)) for i in range(6)])
    assert made.meta["equal_to_training"] == {"test": 0, "validation": 0}
    assert made.meta["notes"] == []
    assert "warning" not in capsys.readouterr().err
    kept = [train[i] for i in made.splits["train"][:3]]
    held = train[made.splits["validation"][0]]
    made = prepare(tmp_path, store, train, [*kept, held, *(encode(pixels(200 + i)) for i in range(6))])
    assert made.meta["equal_to_training"] == {"test": 3, "validation": 0}
    assert made.meta["notes"] == ["test images that equal a training image: 3 of 10 (models may know them by heart)"]
    assert "warning: data set own: test images that equal a training image: 3 of 10" in capsys.readouterr().err
    made = prepare(tmp_path, store, [train[i // 2] for i in range(40)], train[:4], validation=20)
    expected = np.isin(made.splits["validation"] // 2, made.splits["train"] // 2).sum()
    assert made.meta["equal_to_training"]["validation"] == expected > 0


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("viewed", [False, True])
def test_turned_and_transparent_images_are_taken_as_stored_unless_asked_for(tmp_path, store, viewed, capsys):
    upright = [pixels(i) for i in range(20)]
    alpha = np.dstack([upright[0], np.full((16, 16), 255, np.uint8)])
    alpha[:8, :, 3] = 0
    opaque = np.dstack([upright[1], np.full((16, 16), 255, np.uint8)])
    train = [encode(alpha), encode(opaque), encode(upright[2], "JPEG", 6), encode(upright[3], "JPEG", 1)]
    train += [encode(array) for array in upright[4:]]
    test = [encode(pixels(100), "JPEG", 3), *(encode(pixels(i)) for i in (101, 102))]
    made = prepare(tmp_path, store, train, test, **({"as_viewed": True} if viewed else {}))
    notes = [
        "images whose EXIF orientation is not applied: 2 (data.as_viewed: true applies it)",
        "images whose transparency is dropped: 1 (data.as_viewed: true puts them on white)",
    ]
    assert made.meta["notes"] == ([] if viewed else notes)
    read = made.images if store == "array" else [np.asarray(Image.open(io.BytesIO(made.read(i)))) for i in range(23)]
    white = upright[0].copy()
    white[:8] = 255
    turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(train[2]))))
    expected = [white, upright[1], turned] if viewed else [*upright[:2], np.asarray(Image.open(io.BytesIO(train[2])))]
    for found, wanted in zip(read, expected, strict=False):
        assert np.abs(found.astype(int) - wanted).mean() < (1 if store == "array" else 12)
    other = np.asarray(Image.open(io.BytesIO(train[2]))) if viewed else turned
    assert np.abs(read[2].astype(int) - other).mean() > 20


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shorter_side", [None, 16])
def test_each_orientation_is_applied_before_a_photo_is_shrunk(form, orientation, shorter_side):
    data = encode(pixels(3, (120, 80, 3)), form, orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = encode_photo(data, shorter_side, 95, viewed=True)
    size = (found.width, found.height)
    assert size == (
        expected.size if shorter_side is None else {(80, 120): (16, 24), (120, 80): (24, 16)}[expected.size]
    )
    made = Image.open(io.BytesIO(found.data))
    assert made.size == size
    wanted = np.asarray(expected.convert("RGB").resize(size, Image.Resampling.LANCZOS), dtype=int)
    assert np.abs(np.asarray(made, dtype=int) - wanted).mean() < 12


def test_damaged_exif_is_no_reason_to_refuse_a_photo():
    data = encode(pixels(5), "JPEG", 6)
    broken = data.replace(b"Exif\0\0MM\0*", b"Exif\0\0XXXX").replace(b"Exif\0\0II*\0", b"Exif\0\0XXXX")
    assert broken != data
    assert encode_photo(broken, None, 95, viewed=True).kept


@pytest.mark.parametrize("store", STORES)
def test_a_channel_that_is_always_zero_does_not_stop_the_run(tmp_path, store):
    images = [encode(pixels(i) * np.array([1, 0, 1], np.uint8)) for i in range(24)]
    made = prepare(tmp_path, store, images[:20], images[20:])
    if store == "array":
        assert made.std[1] == 1
        assert made.meta["notes"] == ["channel 1 has one value in all training images, so it tells nothing"]
    assert (made.std > 0).all()
