"""A short run on data in a folder, and with classes, whose names would do harm if they reached a shell or a browser."""

import io
import json
import shlex
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from project import SHORT, make_project

ROOT = """-my data; touch HACKED $(touch HACKED) `touch HACKED` {wildcards} {input.plan:q} "it's" & | <x> * \\ #é"""
CLASSES = ["<script>alert(1)</script>", "$\\frac{$", "{wildcards} $(touch HACKED)", '"onload="x', "`x` " + "é" * 200]


class Tags(HTMLParser):
    """Counts scripts, and attributes that would run one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts = self.handlers = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.handlers += sum(name.startswith("on") for name, _ in attrs)


def write_split(path, count):
    rng = np.random.default_rng(0)
    pictures = []
    for label in range(count):
        pixels = rng.integers(0, 100, (8, 8), dtype=np.uint8)
        pixels[label % len(CLASSES)] = 255
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        pictures.append({"bytes": out.getvalue(), "path": None})
    features = {"info": {"features": {"label": {"names": CLASSES}}}}
    table = pa.table({"image": pictures, "label": [i % len(CLASSES) for i in range(count)]})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)


def test_a_run_from_a_hostile_folder_does_no_harm(tmp_path):
    folder = tmp_path / "it's a project; $(touch HACKED)"
    folder.mkdir()
    project = make_project(folder)
    write_split(project.folder / ROOT / "own" / "train-$(touch HACKED)-{a}.parquet", 100)
    write_split(project.folder / ROOT / "own" / "test-'0'.parquet", 60)
    settings = [text for text in SHORT if not text.startswith(("limit_", "temperatures"))]
    settings += [
        "methods=[kd_mixup]",
        "temperatures=[1]",
        f"data.root={json.dumps(ROOT)}",
        "data.name=own",
        "data.source=parquet",
        "data.validation=20",
        "name=own",
    ]
    done = project.reproduce(settings=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.rglob("HACKED*")) == []
    [output] = project.results.rglob("run-*.log")
    commands = [line for line in output.read_text().splitlines() if "prepare_data.py" in line]
    assert commands
    for command in commands:
        assert f"--root={ROOT}" in shlex.split(command)
    page = Tags((project.results / "own" / "report.html").read_text(encoding="utf-8"))
    assert (page.scripts, page.handlers) == (1, 0)
    assert "nothing to do" in project.reproduce(settings=settings).stdout
