"""Published weights: their table, and how their files are fetched. The download itself: test_download.py."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from built_models import TIMM
from https_server import Site, serving

from vicinal.errors import VicinalError
from vicinal.models import pretrained
from vicinal.models.fetch import fetch_weights
from vicinal.models.pretrained import WEIGHTS, Weights, weights_name, weights_path
from vicinal.models.registry import ARCHITECTURES, architecture

torch.set_num_threads(1)

SCRIPT = Path(pretrained.__file__).parents[2] / "scripts" / "fetch_weights.py"
DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()
CLOSED = "https://127.0.0.1:9/"  # nobody listens there: offline


def publish(monkeypatch, url: str, sha256: str = SHA256[:8], size: int = len(DATA)) -> None:
    entry = Weights(f"{url}net-{sha256}.pth", sha256, size, False, "none")
    monkeypatch.setitem(WEIGHTS, "net", entry)


def fetch(root: Path) -> dict:
    return fetch_weights(["net"], root, lambda line: None)


# --- the table ---


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name not in TIMM])
def test_entries_are_those_of_torchvision(name):
    published = torchvision.models.get_model_weights(name.removesuffix("_imagenet")).IMAGENET1K_V1
    entry = WEIGHTS[name]
    assert entry.url == published.url
    assert entry.file == published.url.rpartition("/")[2]
    assert entry.sha256 == published.url.removesuffix(".pth").rpartition("-")[2]
    assert 0 <= entry.size / 2**20 - published.meta["_file_size"] < 0.002
    # the page that torchvision names for the recipe has mixup and CutMix for these families
    recipe = published.meta["recipe"].partition("#")[2]
    assert entry.pretraining_mixup == (recipe in ("convnext", "vit_b_16"))
    assert entry.recipe.startswith("mixup" if entry.pretraining_mixup else "no mixup")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_weights_of_a_network_do_not_depend_on_its_head(name):
    found = weights_name(architecture(name))
    trunk = name.removesuffix("_mlp").removesuffix("_dropout")
    assert found == (trunk if trunk in WEIGHTS else None)


def test_wrong_names_are_named(tmp_path):
    for attempt in (lambda: weights_path(tmp_path, "resnet50"), lambda: fetch_weights(["resnet50"], tmp_path)):
        with pytest.raises(VicinalError, match=r"no published weights 'resnet50' \(did you mean resnet50_imagenet"):
            attempt()


# --- the files ---


def test_weights_are_fetched_and_recorded(tmp_path, monkeypatch, trusted):
    file = f"net-{SHA256[:8]}.pth"
    with serving(Site({f"/{file}": DATA}), trusted) as site:
        publish(monkeypatch, site.url)
        found = fetch(tmp_path)
    own = {"file": file, "sha256": SHA256, "url": site.url + file, "pretraining_mixup": False, "recipe": "none"}
    assert found == {"net": own}
    assert weights_path(tmp_path, "net").read_bytes() == DATA


def test_a_missing_or_damaged_file_says_what_is_expected_where(tmp_path, monkeypatch):
    publish(monkeypatch, CLOSED)
    path, file = weights_path(tmp_path, "net"), f"net-{SHA256[:8]}.pth"
    with pytest.raises(VicinalError) as error:
        fetch(tmp_path)
    for words in (str(path), CLOSED + file, SHA256[:8], "refused", "copy the file", "fetch_weights"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    path.write_bytes(DATA[:-1])
    with pytest.raises(VicinalError, match=rf"{file}: damaged or another file .*{SHA256[:8]}\): delete it"):
        fetch(tmp_path)


def test_the_script_says_what_is_missing_in_one_line(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS["resnet18_imagenet"].file).write_bytes(b"x")
    command = [sys.executable, str(SCRIPT), "resnet18_imagenet", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "resnet18-f37072fd.pth: damaged or another file" in done.stderr
