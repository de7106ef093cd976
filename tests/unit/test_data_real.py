import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import vicinal
from vicinal.data.catalogue import CIFAR100_SUPERCLASS, resolve_source
from vicinal.data.store import DataStore

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# In a process of its own, for the peak of its memory.
CODE = """
import json, sys
from vicinal.data.prepare import prepare_data
from vicinal.jobs.provenance import peak_memory
prepare_data(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3])
print(peak_memory() / 2**20)
"""


def prepared(name: str, folder: Path) -> tuple[DataStore, float, float]:
    """Prepare a real data set; return its store, the seconds and the peak memory in MiB."""
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not there: put the Parquet files of {name} there to run this test")
    spec = {"name": name, **resolve_source(name, DATA), "split_seed": 0}
    environment = {**os.environ, "PYTHONPATH": str(Path(vicinal.__file__).parents[1])}
    command = [sys.executable, "-c", CODE, json.dumps(spec), str(DATA), str(folder / name)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    return DataStore(folder / name, verify=True), seconds, float(done.stdout)


def first_pictures(path: Path, column: str, count: int) -> list[Image.Image]:
    table = next(pq.ParquetFile(path).iter_batches(count, columns=[column]))
    return [Image.open(io.BytesIO(entry["bytes"])) for entry in table.column(column).to_pylist()]


def test_cifar100(tmp_path):
    store, seconds, memory = prepared("cifar100", tmp_path)
    assert store.meta["counts"] == {"train": 45_000, "validation": 5_000, "test": 10_000}
    assert store.images.shape == (60_000, 32, 32, 3)
    # The published statistics are those of all 50,000 images, ours those of the 45,000 that are trained on.
    np.testing.assert_allclose(store.mean, [0.50707516, 0.48654887, 0.44091784], atol=1e-3)
    np.testing.assert_allclose(store.std, [0.26733429, 0.25643846, 0.27615047], atol=1e-3)
    pixels = np.asarray(store.images[store.splits["train"]], dtype=np.float64) / 255
    np.testing.assert_allclose(store.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(store.std, pixels.std(axis=(0, 1, 2)), atol=1e-9)
    for name, each in {"train": 450, "validation": 50, "test": 100}.items():
        assert (np.bincount(store.labels[store.splits[name]], minlength=100) == each).all()
    assert store.splits["test"].tolist() == list(range(50_000, 60_000))
    assert store.meta["class_names"][:2] == ["apple", "aquarium_fish"]
    path = DATA / "cifar100" / "test-00000-of-00001.parquet"
    expected = np.stack([np.asarray(picture) for picture in first_pictures(path, "img", 300)])
    assert np.array_equal(store.images[50_000:50_300], expected)
    labels = pq.read_table(path, columns=["fine_label", "coarse_label"])
    assert np.array_equal(store.labels[50_000:], labels["fine_label"].to_numpy())
    assert store.meta["superclass"] == list(CIFAR100_SUPERCLASS)
    assert np.array_equal(np.array(CIFAR100_SUPERCLASS)[store.labels[50_000:]], labels["coarse_label"].to_numpy())
    assert memory < 1_000
    assert seconds < 40


def test_photos_with_grey_ones_among_them(tmp_path):
    store, _, memory = prepared("imagenette160", tmp_path)
    assert store.meta["counts"] == {"train": 1_800, "validation": 200, "test": 500}
    assert store.images.shape == (2_500, 160, 160, 3)
    assert (np.bincount(store.labels[store.splits["validation"]]) == 20).all()
    assert store.meta["class_names"][5] == "French horn"
    assert store.meta["superclass"] is None
    pictures = first_pictures(DATA / "imagenette160" / "train-00000-of-00001.parquet", "image", 400)
    assert any(picture.mode == "L" for picture in pictures)
    assert np.array_equal(store.images[:400], np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    assert memory < 1_000
