import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from full_disk import full_disk
from photo_files import photo, photo_spec, small_folder, small_store, write_photos
from PIL import Image

import vicinal
from vicinal.data.photos import pack
from vicinal.data.photos.statistics import IMAGENET, photo_statistics
from vicinal.data.photos.store import PhotoStore
from vicinal.data.prepare import prepare_data
from vicinal.data.scratch import FOLDER
from vicinal.data.store import FORMS, PHOTO_FORMAT
from vicinal.errors import VicinalError

FILES = FORMS[PHOTO_FORMAT]
# In a process of its own, to be killed: packs slowly, in small pieces.
SLOW = """
import json, sys, time
from vicinal.data.photos import pack
from vicinal.data.prepare import prepare_data
encode, pack.PIECE = pack.encode_photo, 10

def slowly(*arguments):
    time.sleep(0.02)
    return encode(*arguments)

pack.encode_photo = slowly
prepare_data(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def content(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in (*FILES, "meta.json", "bad_files.txt")}


def test_the_bytes_of_jpegs_are_kept_in_the_order_of_their_names(tmp_path):
    store = small_store(tmp_path)
    table = pq.read_table(tmp_path / "store" / "splits.parquet").to_pydict()
    assert len(table["index"]) == len(store.labels) == 32
    for index, name, label in zip(table["index"], table["source"], table["label"], strict=True):
        assert bytes(store.read(index)) == (tmp_path / "own" / name).read_bytes()
        assert f"class{label}" == Path(name).parent.name
        assert store.labels[index] == label
        assert tuple(store.sizes[index]) == pixels(store.read(index)).shape[:2]
    by_index = [name for _, name in sorted(zip(table["index"], table["source"], strict=True))]
    assert by_index == sorted(by_index)
    assert store.meta["encoding"]["kept"] == 32
    assert store.meta["class_names"] == ["class0", "class1"]


def test_the_record_holds_checksums_counts_and_the_origin_of_mean_and_sd(tmp_path):
    store = small_store(tmp_path)
    for name in FILES:
        data = (tmp_path / "store" / name).read_bytes()
        assert store.meta["files"][name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert store.meta["counts"] == {"train": 20, "validation": 4, "test": 8}
    assert store.meta["statistics"] == {"from": "training photos", "photos": 20, "seed": 0}
    train = np.concatenate([pixels(store.read(i)).reshape(-1, 3) for i in store.splits["train"]]) / 255
    np.testing.assert_allclose(store.mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(store.std, train.std(axis=0), rtol=1e-9)
    mean, std, origin = photo_statistics("imagenet", tmp_path, store.offsets, store.splits["train"], 0)
    assert (tuple(mean), tuple(std)) == IMAGENET
    assert origin == {"from": "published for ImageNet"}


@pytest.mark.parametrize(
    ("mode", "form", "kept"),
    [
        *[("RGB", "JPEG", True), ("L", "JPEG", True), ("CMYK", "JPEG", False), ("P", "PNG", False)],
        *[("RGBA", "PNG", False), ("L", "PNG", False), ("LA", "PNG", False), ("1", "PNG", False)],
        *[("RGB", "WEBP", False), ("P", "GIF", False)],
    ],
)
def test_every_format_becomes_a_jpeg_of_the_same_pixels(tmp_path, mode, form, kept):
    odd = photo(1, (61, 47), mode, form)
    write_photos(tmp_path / "own", [odd, *[photo(i) for i in range(2, 8)]], [photo(i) for i in range(8, 12)])
    store = prepare_data(photo_spec(tmp_path, validation=2), tmp_path, tmp_path / "store")
    packed = bytes(store.read(0))
    assert Image.open(io.BytesIO(packed)).format == "JPEG"
    assert tuple(store.sizes[0]) == (47, 61)
    assert (packed == odd) == kept
    file = io.BytesIO()
    Image.fromarray(pixels(odd)).save(file, "JPEG", quality=95, subsampling=2)
    assert np.array_equal(pixels(packed), pixels(odd if kept else file.getvalue()))
    assert store.meta["encoding"]["encoded_anew"] == (not kept)


@pytest.mark.parametrize("size", [(300, 120), (120, 300), (1000, 900)])
def test_the_shorter_side_is_reduced_and_never_enlarged(tmp_path, size):
    large = photo(1, size)
    write_photos(tmp_path / "own", [large, *[photo(i) for i in range(2, 8)]], [photo(i) for i in range(8, 12)])
    spec = photo_spec(tmp_path, validation=2, shorter_side=64, quality=90)
    store = prepare_data(spec, tmp_path, tmp_path / "store")
    expected = Image.open(io.BytesIO(large))
    scale = 64 / min(size)
    expected = expected.resize((int(size[0] * scale + 1e-9), int(size[1] * scale + 1e-9)), Image.Resampling.LANCZOS)
    assert tuple(store.sizes[0]) == expected.size[::-1]
    assert np.abs(pixels(store.read(0)).astype(int) - np.asarray(expected)).mean() < 3
    assert store.meta["encoding"] == {"shorter_side": 64, "quality": 90, "kept": 10, "encoded_anew": 1}


def test_killed_it_goes_on_and_the_store_is_the_same_byte_for_byte(tmp_path, monkeypatch):
    small_folder(tmp_path, 90)
    write_bad(tmp_path / "own" / "train" / "class0" / "00004.JPEG")
    spec = photo_spec(tmp_path)
    monkeypatch.setattr(pack, "PIECE", 10)
    prepare_data(spec, tmp_path, tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(Path(vicinal.__file__).parents[1])}
    command = [sys.executable, "-c", SLOW, json.dumps(spec), str(tmp_path), str(tmp_path / "killed")]
    process = subprocess.Popen(command, env=environment)
    left = tmp_path / "killed" / FOLDER
    while not (left / "piece-00002.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pieces = len(list(left.glob("piece-*.npz")))
    with (left / "photos.bin").open("ab") as file:
        file.write(b"half of a photo")
    encoded = []
    encode = pack.encode_photo
    monkeypatch.setattr(pack, "encode_photo", lambda *arguments: encoded.append(1) or encode(*arguments))
    prepare_data(spec, tmp_path, tmp_path / "killed")
    assert len(encoded) == 98 - 10 * pieces
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert not left.exists()
    assert "00004.JPEG" in (tmp_path / "killed" / "bad_files.txt").read_text()


def write_bad(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_what_is_left_of_another_packing_is_not_used(tmp_path, monkeypatch):
    small_folder(tmp_path)
    monkeypatch.setattr(pack, "PIECE", 10)
    monkeypatch.setattr(pack, "encode_photo", failing(tmp_path / "own" / "train" / "class1" / "00021.JPEG"))
    with pytest.raises(RuntimeError, match="no more"):
        prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    assert (tmp_path / "store" / FOLDER / "piece-00000.npz").exists()
    monkeypatch.undo()
    other = photo_spec(tmp_path, shorter_side=20)
    prepare_data(other, tmp_path, tmp_path / "store")
    prepare_data(other, tmp_path, tmp_path / "fresh")
    assert content(tmp_path / "store") == content(tmp_path / "fresh")


def failing(path: Path):
    encode, bad = pack.encode_photo, path.read_bytes()

    def wrapped(data: bytes, *arguments):
        if data == bad:
            raise RuntimeError("no more")
        return encode(data, *arguments)

    return wrapped


def test_on_a_full_disk_the_file_is_named_and_later_it_goes_on(tmp_path, monkeypatch):
    small_folder(tmp_path, 90)
    monkeypatch.setattr(pack, "PIECE", 10)
    with full_disk(40_000), pytest.raises(OSError, match=r"too large.*photos\.bin"):
        prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    assert (tmp_path / "store" / FOLDER / "piece-00000.npz").exists()
    prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "fresh")
    assert content(tmp_path / "store") == content(tmp_path / "fresh")


def test_a_few_bad_files_are_named_and_left_out(tmp_path):
    small_folder(tmp_path, 40)
    folder = tmp_path / "own" / "train" / "class1"
    write_bad(folder / "00001.JPEG")
    (folder / "00003.JPEG").write_bytes(b"")
    (folder / "00005.JPEG").write_text("no picture")
    (folder / "00007.JPEG").unlink()
    (folder / "00007.JPEG").symlink_to("nowhere")
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 5), dtype=np.uint16)).save(file, "PNG")
    (folder / "00009.JPEG").write_bytes(file.getvalue())
    store = prepare_data(photo_spec(tmp_path, bad_share=0.2), tmp_path, tmp_path / "store")
    lines = (tmp_path / "store" / "bad_files.txt").read_text().splitlines()
    assert [line.split(": ")[0][-10:] for line in lines] == [f"{i:05d}.JPEG" for i in (1, 3, 5, 7, 9)]
    reasons = ["truncated", "empty", "not a picture", "no such file", "mode I;16"]
    assert all(reason in line for line, reason in zip(lines, reasons, strict=True)), lines
    assert store.meta["bad"] == {"count": 5, "allowed_share": 0.2}
    assert sum(store.meta["counts"].values()) == store.meta["images"] == 43
    sources = pq.read_table(tmp_path / "store" / "splits.parquet")["source"].to_pylist()
    assert len(sources) == 43
    assert not {line.split(": ")[0] for line in lines} & set(sources)


def test_too_many_bad_files_are_refused_in_one_line_and_nothing_is_left(tmp_path):
    small_folder(tmp_path, 40)
    for number in (1, 3):
        write_bad(tmp_path / "own" / "train" / "class1" / f"{number:05d}.JPEG")
    with pytest.raises(VicinalError) as error:
        prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    line = str(error.value)
    assert "more than 1 of 48 photos cannot be read (data.bad_share 0.001)" in line
    assert "train/class1/00001.JPEG" in line
    assert "\n" not in line
    assert not (tmp_path / "store" / FOLDER).exists()


def test_a_class_without_a_readable_photo_is_named(tmp_path):
    write_photos(tmp_path / "own", [photo(i) for i in range(12)], [photo(20 + i) for i in range(3)], classes=2)
    for path in (tmp_path / "own" / "train" / "class0").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(VicinalError, match=r'class 0 \("class0"\) has no readable image'):
        prepare_data(photo_spec(tmp_path, validation=2, bad_share=0.9), tmp_path, tmp_path / "store")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["bad_files.txt"]


def test_names_may_hold_anything(tmp_path):
    folder = small_folder(tmp_path)
    names = [
        "a b.jpg",
        "quote'\".JPG",
        "new\nline.jpeg",
        "öß🐈.jpeg",
        os.fsdecode(b"\xff\xfe.jpg"),
        "-rf *.png",
        "%s{}.jpg",
    ]
    for i, name in enumerate(names):
        (folder / "train" / "class0" / name).write_bytes(photo(100 + i))
    (folder / "train" / "class0" / "new\nline2.jpeg").write_bytes(b"bad")
    (folder / "train" / "class0" / "notes.txt").write_text("left out")
    (folder / "train" / "class0" / "._0.jpg").write_text("left out")
    store = prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    assert store.meta["images"] == 32 + len(names)
    sources = pq.read_table(tmp_path / "store" / "splits.parquet")["source"].to_pylist()
    assert {"train/class0/new\\nline.jpeg", "train/class0/öß🐈.jpeg", "train/class0/\\xff\\xfe.jpg"} <= set(sources)
    assert (tmp_path / "store" / "bad_files.txt").read_text() == "train/class0/new\\nline2.jpeg: not a picture\n"


def test_only_photos_of_a_split_are_packed(tmp_path):
    store = small_store(tmp_path, 40, limit_train=10, limit_test=3)
    assert store.meta["images"] == 10 + 3 + 3
    whole = small_store(tmp_path / "whole", 40)
    assert whole.meta["images"] == 48
    assert store.meta["sha256"] != whole.meta["sha256"]


def test_a_whole_store_is_kept_and_a_damaged_or_other_one_is_not(tmp_path):
    small_store(tmp_path)
    said: list[str] = []
    path = tmp_path / "store" / "photos.bin"
    spec = photo_spec(tmp_path)
    for change, word in ((lambda: None, "kept"), (lambda: path.write_bytes(path.read_bytes()[:-1]), "instead of")):
        change()
        prepare_data(spec, tmp_path, tmp_path / "store", said.append)
        assert word in said[0]
        said.clear()
    prepare_data({**spec, "split_seed": 1}, tmp_path, tmp_path / "store", said.append)
    assert "of another plan" in said[0]
    assert PhotoStore(tmp_path / "store", verify=True).meta["spec"]["split_seed"] == 1


def test_two_at_once_pack_it_once(tmp_path, monkeypatch):
    small_folder(tmp_path)
    encoded, said = [], []
    encode = pack.encode_photo

    def slowly(*arguments):
        encoded.append(1)
        time.sleep(0.01)
        return encode(*arguments)

    monkeypatch.setattr(pack, "encode_photo", slowly)
    with ThreadPoolExecutor(2) as pool:
        spec, target = photo_spec(tmp_path), tmp_path / "store"
        futures = [pool.submit(prepare_data, spec, tmp_path, target, said.append) for _ in range(2)]
        assert len({future.result().sha256 for future in futures}) == 1
    assert len(encoded) == 32
    assert "waiting" in said[0]
    assert "kept" in said[-1]
