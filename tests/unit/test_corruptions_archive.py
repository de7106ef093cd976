"""The archive of corrupted images: read where it lies, its rows recognised by their content."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corruption_archive import CLASSES, FOLDER, arrays_of, corrupt, make_images, write_archive
from PIL import Image

from vicinal.data.corruptions.arrays import Corrupted, match_rows, open_corrupted
from vicinal.data.corruptions.catalogue import ARCHIVES, CORRUPTIONS, EXTRA, NAMES
from vicinal.errors import VicinalError

IMAGES, LABELS = make_images(40, 1)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def damaged(change):
    arrays = arrays_of(IMAGES, LABELS)
    change(arrays)
    return arrays


def test_there_are_15_corruptions_in_the_benchmark_and_4_more():
    assert len(NAMES) == len(set(NAMES)) == 19
    assert len(CORRUPTIONS[EXTRA]) == 4
    for archive in ARCHIVES.values():
        assert archive.url.startswith("https://zenodo.org/") and archive.url.endswith(f"/{archive.file}")
        # 19 arrays of 5 x 10,000 images, and less than one of them more
        assert 0 <= archive.size - 19 * 50_000 * 32 * 32 * 3 < 1_000_000
        assert len(archive.md5) == 32


def test_an_archive_is_read_where_it_lies(tmp_path):
    write_archive(tmp_path / "some.tar", arrays_of(IMAGES, LABELS))
    found = open_corrupted(tmp_path / "some.tar", FOLDER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some.tar"]
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.labels.dtype == np.int64
    for name in NAMES:
        assert isinstance(found.images[name], np.memmap)
        for severity in range(1, 6):
            np.testing.assert_array_equal(found.images[name][severity - 1], corrupt(IMAGES, name, severity))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arrays: arrays.pop("fog"), f"has no {FOLDER}/fog.npy"),
        (lambda arrays: arrays.pop("labels"), f"has no {FOLDER}/labels.npy"),
        (lambda arrays: arrays.update(fog=arrays["fog"][:-5]), "fog.npy is uint8"),
        (lambda arrays: arrays.update(fog=arrays["fog"].astype(np.float32)), "fog.npy is float32"),
        (lambda arrays: arrays.update(fog=arrays["fog"][:, :-1]), "several shapes"),
        (lambda arrays: arrays.update(fog=arrays["fog"][..., 0]), "fog.npy is uint8"),
        (lambda arrays: arrays.update(fog=np.asfortranarray(arrays["fog"])), "is longer than its entry"),
        (lambda arrays: arrays.update(fog=np.array([{}] * 200)), "is longer than its entry"),
        (lambda arrays: arrays.update(labels=arrays["labels"][:-1]), "labels.npy is uint8"),
        (lambda arrays: arrays.update(labels=arrays["labels"] / 2), "labels.npy is float64"),
        (lambda arrays: arrays["labels"].__setitem__(0, 3 - arrays["labels"][0]), "not the same for every severity"),
    ],
)
def test_an_archive_of_other_arrays_is_refused_in_one_line(tmp_path, change, says):
    write_archive(tmp_path / "some.tar", damaged(change))
    with pytest.raises(VicinalError, match=says) as told:
        open_corrupted(tmp_path / "some.tar", FOLDER)
    assert str(told.value).startswith(f"{tmp_path}/some.tar: ")
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "some.tar").write_bytes(content)
    with pytest.raises(VicinalError, match=r"some\.tar"):
        open_corrupted(tmp_path / "some.tar", FOLDER)


def test_a_cut_archive_is_refused(tmp_path):
    write_archive(tmp_path / "some.tar", arrays_of(IMAGES, LABELS))
    content = (tmp_path / "some.tar").read_bytes()
    (tmp_path / "some.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(VicinalError, match=r"some\.tar"):
        open_corrupted(tmp_path / "some.tar", FOLDER)


def test_links_in_an_archive_are_not_followed(tmp_path):
    write_archive(tmp_path / "some.tar", damaged(lambda arrays: arrays.pop("fog")))
    with tarfile.open(tmp_path / "some.tar", "a") as tar:
        link = tarfile.TarInfo(f"{FOLDER}/fog.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(VicinalError, match=r"has no CIFAR-10-C/fog\.npy"):
        open_corrupted(tmp_path / "some.tar", FOLDER)


def memory(images, labels):
    """Return an archive of images that never were in a file."""
    return Corrupted({"brightness": np.stack([corrupt(images, "brightness", s) for s in range(1, 6)])}, labels)


def test_rows_in_the_published_order_are_taken_as_they_are():
    rows = np.array([3, 7, 20, 39])
    found = match_rows(IMAGES[rows], LABELS[rows], rows, memory(IMAGES, LABELS))
    np.testing.assert_array_equal(found, rows)


def test_shuffled_rows_are_found_by_their_content():
    order = np.random.default_rng(0).permutation(40)[:25]
    found = match_rows(IMAGES[order], LABELS[order], np.arange(25), memory(IMAGES, LABELS))
    np.testing.assert_array_equal(found, order)


def test_equal_labels_in_the_same_order_are_no_proof():
    order = np.arange(40)
    order[LABELS == 2] = np.roll(order[LABELS == 2], 1)
    np.testing.assert_array_equal(LABELS[order], LABELS)
    found = match_rows(IMAGES[order], LABELS, np.arange(40), memory(IMAGES, LABELS))
    np.testing.assert_array_equal(found, order)


def test_other_images_are_refused():
    others, labels = make_images(40, 9)
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 255, others.shape).astype(np.uint8)
    for images, own in ((noise, LABELS), (noise, labels)):
        with pytest.raises(VicinalError, match="are not those of the data set"):
            match_rows(images, own, np.arange(40), memory(IMAGES, LABELS))
    with pytest.raises(VicinalError, match="images of class 0, the data set 40"):
        match_rows(IMAGES, np.zeros(40, int), np.arange(40), memory(IMAGES, LABELS))
    with pytest.raises(VicinalError, match=r"its images are \(12, 12, 3\), those of the data set \(6, 12, 3\)"):
        match_rows(IMAGES[:, :6], LABELS, np.arange(40), memory(IMAGES, LABELS))


def test_an_image_that_is_there_twice_is_refused_where_the_order_does_not_tell():
    twice = np.concatenate([IMAGES[:2][LABELS[:2] == LABELS[0]][:1]] * 2)
    labels = np.full(2, LABELS[0])
    with pytest.raises(VicinalError, match="are not those of the data set"):
        match_rows(twice, labels, np.array([30, 31]), memory(IMAGES, LABELS))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_test_images_are_found_after_brightening_in_another_order(name):
    """The benchmark's formula at severity 1: 0.05 is added to the value of HSV, and cut at 1."""
    path = DATA / name / "test-00000-of-00001.parquet"
    if not path.is_file():
        pytest.skip(f"{name} as Parquet is not at {path}")
    table = pq.read_table(path, columns=["img", "fine_label" if name == "cifar100" else "label"]).slice(0, 3000)
    encoded = table["img"].combine_chunks().field("bytes").to_pylist()
    images = np.stack([np.asarray(Image.open(io.BytesIO(entry)).convert("RGB")) for entry in encoded])
    labels = table.column(1).to_numpy()
    value = images.max(axis=-1, keepdims=True) / 255
    # In HSV all channels are proportional to the value.
    factor = np.minimum(value + 0.05, 1) / np.maximum(value, 1e-9)
    bright = np.rint(np.clip(images * factor, 0, 255)).astype(np.uint8)
    archive = Corrupted({"brightness": bright[np.newaxis]}, labels)
    np.testing.assert_array_equal(match_rows(images, labels, np.arange(len(images)), archive), np.arange(len(images)))
    order = np.random.default_rng(0).permutation(len(images))[:1000]
    found = match_rows(images[order], labels[order], np.arange(1000), archive)
    np.testing.assert_array_equal(found, order)
    assert len(set(labels)) > CLASSES
