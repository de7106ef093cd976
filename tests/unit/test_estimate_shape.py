"""The shapes of data sets that are not prepared yet: read off their files and records."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from configs import default
from PIL import Image
from sklearn.datasets import load_digits

from vicinal.data.catalogue import resolve_source
from vicinal.data.split import hold_out_test, make_splits
from vicinal.files import write_json
from vicinal.planning.artefacts import DataSet
from vicinal.planning.grid import expand
from vicinal.running.estimate.shape import Shape, recorded_shape, shape_of

DATA = {"stage": "data", "name": "digits", "source": "digits", "validation": 597, "limit_train": 150}


@pytest.mark.parametrize(
    "settings", [{}, {"validation": 0.2}, {"limit_test": 300}, {"validation": 100, "limit_train": 40}]
)
def test_the_shape_of_digits_is_that_of_its_splits(settings, tmp_path):
    labels = load_digits().target
    data = {**DATA, **settings}
    train, test = hold_out_test(labels, 900, 0)
    limits = {key: data.get(key) for key in ("validation", "limit_train", "limit_test")}
    splits = make_splits(labels, {"train": train, "test": test}, seed=0, **limits)
    found = shape_of(DataSet("digits", data, "data"), tmp_path)
    assert found == Shape(10, 8, 8, 1, **{name: len(part) for name, part in splits.items()}, stored=len(labels))


def test_the_shape_of_a_folder_of_pictures_is_read_off_it(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    file = BytesIO()
    Image.fromarray(np.zeros((20, 24, 3), dtype=np.uint8)).save(file, "PNG")
    picture = {"bytes": file.getvalue(), "path": "a.png"}
    for split, count in (("train", 30), ("test", 8)):
        table = pa.table({"image": [picture] * count, "label": [0, 1] * (count // 2)})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    store = DataSet("own", {"name": "own", "source": "parquet", "validation": 0.1}, str(tmp_path))
    found = shape_of(store, tmp_path)
    assert (found.height, found.width, found.channels) == (20, 24, 3)
    assert (found.train, found.validation, found.test, found.stored) == (27, 3, 8, 38)


def test_the_store_of_a_seed_is_found_where_planning_puts_it(tmp_path):
    [store] = expand([(default("seeds=[3]"), resolve_source("digits", "data"))]).stores.values()
    assert store.id.startswith("digits_s3-")
    assert shape_of(store, tmp_path).train == 40
    meta = {"class_names": ["0", "1"], "image_shape": [8, 8, 1], "images": 9}
    (tmp_path / "data" / store.id).mkdir(parents=True)
    write_json(tmp_path / "data" / store.id / "data.json", meta | {"counts": {"train": 2, "validation": 3, "test": 4}})
    assert recorded_shape(store.spec, tmp_path) == Shape(2, 8, 8, 1, 2, 3, 4, stored=9)
