"""Folders of photos: their classes, what is passed over in them, their lists of labels, and their identity."""

import json
import os
from pathlib import Path

import pytest
from photo_files import photo, photo_spec, small_folder, write_photos

from vicinal.data.photos.folders import PhotoFolder, folder_identity
from vicinal.data.photos.sources import open_photos
from vicinal.data.prepare import prepare_data
from vicinal.errors import VicinalError


def test_classes_are_those_of_torchvisions_image_folder(tmp_path):
    from torchvision.datasets import ImageFolder

    folder = write_photos(tmp_path / "own", [photo(i) for i in range(13)], [photo(20), photo(21)], classes=3)
    deep = folder / "train" / "class1" / "images"
    deep.mkdir()
    (deep / "x.jpeg").write_bytes(photo(40))
    expected = ImageFolder(str(folder / "train"))
    source = PhotoFolder(folder)
    train = dict(zip((str(folder / path) for path in source.paths[:14]), source.labels[:14].tolist(), strict=True))
    assert train == dict(expected.samples)
    assert source.class_names == expected.classes


def test_what_systems_leave_in_folders_is_passed_over_and_counted(tmp_path):
    folder = small_folder(tmp_path)
    before = PhotoFolder(folder)
    assert before.notes == []
    a_photo = photo(90)
    for name in (
        *("train/@eaDir/0.jpg", "train/class0/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "train/class0/@eaDir/1.jpg/M.jpg"),
        *("train/__MACOSX/class0/a.jpg", "val/__MACOSX/._class0", "train/.ipynb_checkpoints/a.jpg"),
        *("train/class0/Thumbs.db", "val/class1/desktop.ini", "train/class0/._00000.JPEG", "val/.DS_Store"),
        *("train/class1/IMG_1.HEIC", "train/class1/IMG_2.heic", "train/class1/notes", "train/stray.jpg"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no photo" if name.endswith("notes") else a_photo)
    after = PhotoFolder(folder)
    assert (after.class_names, after.paths, after.digests) == (before.class_names, before.paths, before.digests)
    [note] = after.notes
    assert note.startswith("files or folders passed over: 3 hidden, 2 ")
    for words in ("2 @eaDir", "2 __MACOSX", "2 .heic", "1 Thumbs.db", "1 in no folder of a class", "1 desktop.ini"):
        assert words in note


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF"])
def test_photos_without_an_ending_are_told_by_their_first_bytes(tmp_path, form):
    folder = small_folder(tmp_path)
    for name in ("photo", "photo.0001", "a.b c d"):
        (folder / "train" / "class0" / name).write_bytes(photo(70, form=form))
    (folder / "train" / "class0" / "text").write_text("P is no photo, nor BMW, nor II")
    source = PhotoFolder(folder)
    assert source.counts == {"train": 27, "validation": 8}
    assert source.notes == ["files or folders passed over: 1 without an ending"]


def tiny_imagenet(
    folder: Path, annotations: str = "b0.JPEG\tclass1\t0\t0\t9\t9\nb1.JPEG\tclass0\t0\t0\t9\t9\n"
) -> Path:
    """Write the folders of tiny-imagenet-200.zip: train/CLASS/images, val/images with a list, test/images alone."""
    for name in (
        *("train/class0/images/a0.JPEG", "train/class0/images/a1.JPEG", "train/class1/images/a2.JPEG"),
        *("val/images/b0.JPEG", "val/images/b1.JPEG", "test/images/c0.JPEG"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo(sum(name.encode())))
    (folder / "train" / "class0" / "class0_boxes.txt").write_text("a0.JPEG 0 0 9 9")
    (folder / "val" / "val_annotations.txt").write_text(annotations)
    (folder / "wnids.txt").write_text("class0\nclass1\n")
    return folder


def test_tiny_imagenet_is_read_as_it_is_and_sorted(tmp_path):
    folder, cache = tiny_imagenet(tmp_path / "own"), tmp_path / "cache.json"
    source = open_photos({"name": "own", **folder_identity(folder, cache)}, tmp_path)
    assert source.class_names == ["class0", "class1"]
    assert source.counts == {"train": 3, "validation": 2}
    assert [(source.name(i), int(source.labels[i])) for i in (3, 4)] == [
        ("val/images/b1.JPEG", 0),
        ("val/images/b0.JPEG", 1),
    ]
    assert "the test split has no labels and is left out" in source.notes
    before = folder_identity(folder, cache)
    os.utime(folder / "val" / "val_annotations.txt", (1, 1))
    assert folder_identity(folder, cache) == before
    tiny_imagenet(folder, "b0.JPEG\tclass0\nb1.JPEG\tclass1\n")
    other = folder_identity(folder, cache)
    assert other["files"]["validation"] != before["files"]["validation"]
    tiny_imagenet(folder, "b0.JPEG\tclass0\nb1.JPEG\tclass0\n")
    assert folder_identity(folder)["files"]["validation"] not in {
        other["files"]["validation"],
        before["files"]["validation"],
    }
    for number, name in enumerate(("class1", "class0")):
        (folder / "val" / name).mkdir()
        (folder / "val" / "images" / f"b{number}.JPEG").rename(folder / "val" / name / f"b{number}.JPEG")
    source = PhotoFolder(folder)
    assert [(source.name(i), int(source.labels[i])) for i in (3, 4)] == [
        ("val/class0/b1.JPEG", 0),
        ("val/class1/b0.JPEG", 1),
    ]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("b0.JPEG\tclass1\t0\n", r"val_annotations.txt: 'b1.JPEG' is not in it, so its class is not known"),
        ("b0.JPEG\tclass1\nb1.JPEG\tclass7\n", r"val_annotations.txt: line 2: 'class7' is no class of the train split"),
        ("b0.JPEG class1\n", r"val_annotations.txt: line 1: '' is no class of the train split"),
    ],
)
def test_annotations_that_name_no_class_are_refused(tmp_path, annotations, message):
    folder = tiny_imagenet(tmp_path / "own", annotations)
    with pytest.raises(VicinalError, match=message):
        PhotoFolder(folder)


def test_what_older_rules_found_in_a_folder_is_not_remembered(tmp_path):
    folder, cache = small_folder(tmp_path), tmp_path / "cache.json"
    found = folder_identity(folder, cache)
    [(key, entry)] = json.loads(cache.read_text()).items()
    cache.write_text(json.dumps({key: {"folders": entry["folders"], "files": {"train": "other"}}}))
    assert folder_identity(folder, cache) == found


def test_the_identity_is_that_of_names_and_sizes_wherever_the_folder_lies(tmp_path):
    first = folder_identity(small_folder(tmp_path / "a"))
    assert first == folder_identity(small_folder(tmp_path / "b"))
    (tmp_path / "b" / "own" / "val").rename(tmp_path / "b" / "own" / "valid")
    assert first == folder_identity(tmp_path / "b" / "own")
    path = tmp_path / "b" / "own" / "train" / "class0" / "00002.JPEG"
    path.write_bytes(path.read_bytes() + b"\0")
    other = folder_identity(tmp_path / "b" / "own")
    assert first["files"]["train"] != other["files"]["train"]
    assert first["files"]["validation"] == other["files"]["validation"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "train" / "class0" / "new.jpg").write_bytes(b"1"),
        lambda folder: (folder / "train" / "class0" / "00000.JPEG").unlink(),
        lambda folder: (folder / "val" / "class1" / "00001.JPEG").rename(folder / "val" / "class0" / "00001.JPEG"),
        lambda folder: write_photos(folder, [photo(i) for i in range(8)], [], classes=3),
        lambda folder: (folder / "val").rename(folder / "test"),
    ],
)
def test_the_cache_of_identities_sees_what_changed(tmp_path, change, monkeypatch):
    folder, cache = small_folder(tmp_path), tmp_path / "cache.json"
    before = folder_identity(folder, cache)
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda path: pytest.fail("the folder is read again"))
        assert folder_identity(folder, cache) == before
    change(folder)
    assert folder_identity(folder, cache) == folder_identity(folder)


def test_a_folder_that_changed_after_the_plan_is_refused(tmp_path):
    folder = small_folder(tmp_path)
    spec = photo_spec(tmp_path)
    (folder / "train" / "class0" / "new.jpg").write_bytes(photo(1))
    with pytest.raises(VicinalError, match="own: its files have changed since the run was planned: run again"):
        prepare_data(spec, tmp_path, tmp_path / "store")
