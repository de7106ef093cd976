"""Published weights: their table and their download."""

import fcntl
import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torchvision
from built_models import TIMM
from https_server import Site, make_certificate, serving

from vicinal.errors import VicinalError
from vicinal.models import pretrained
from vicinal.models.fetch import fetch_weights
from vicinal.models.pretrained import WEIGHTS, Weights, weights_name, weights_path
from vicinal.models.registry import ARCHITECTURES, architecture

torch.set_num_threads(1)

SCRIPT = Path(pretrained.__file__).parents[2] / "scripts" / "fetch_weights.py"
DATA = bytes(range(256)) * 10_000  # 2.56 MB
SHA256 = hashlib.sha256(DATA).hexdigest()
CLOSED = "https://127.0.0.1:9/"  # nobody listens there: offline


def publish(monkeypatch, url: str, sha256: str = SHA256[:8], size: int = len(DATA)) -> None:
    entry = Weights(f"{url}net-{sha256}.pth", sha256, size, False, "none")
    monkeypatch.setitem(WEIGHTS, "net", entry)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def site(monkeypatch, certificate):
    """Serve the file of the weights ``net`` over https, which is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with serving(Site({f"/net-{SHA256[:8]}.pth": DATA}), certificate) as running:
        publish(monkeypatch, running.url)
        yield running


def fetch(root: Path) -> dict:
    return fetch_weights(["net"], root, lambda line: None)


def listed(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "weights").iterdir())


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


# --- the download ---


def test_weights_are_downloaded_once_and_then_only_checked(tmp_path, site):
    record = fetch(tmp_path)
    file = f"net-{SHA256[:8]}.pth"
    expected = {"file": file, "sha256": SHA256, "url": site.url + file, "pretraining_mixup": False, "recipe": "none"}
    assert record == {"net": expected}
    assert weights_path(tmp_path, "net").read_bytes() == DATA
    assert listed(tmp_path) == [file]
    site.files.clear()
    assert fetch(tmp_path) == record
    assert len(site.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_resumed(tmp_path, site, ranges):
    site.cut, site.ranges = 1_500_000, ranges
    with pytest.raises(VicinalError, match=r"interrupted after 1,500,000 of 2,560,000 bytes; run again to resume it"):
        fetch(tmp_path)
    assert not weights_path(tmp_path, "net").exists()
    site.cut = None
    assert fetch(tmp_path)["net"]["sha256"] == SHA256
    assert [part for _, part in site.asked] == [None, "bytes=1500000-"]
    assert len(listed(tmp_path)) == 1


def test_a_download_that_lacks_its_last_name_only_is_taken(tmp_path, site):
    partial = tmp_path / "weights" / f".net-{SHA256[:8]}.pth.part"
    partial.parent.mkdir()
    partial.write_bytes(DATA)
    assert fetch(tmp_path)["net"]["sha256"] == SHA256
    assert weights_path(tmp_path, "net").read_bytes() == DATA


@pytest.mark.parametrize("served", [b"", b"<html>not found, but with status 200</html>", DATA[::-1], DATA * 2])
def test_another_file_leaves_nothing(tmp_path, site, served):
    site.files = dict.fromkeys(site.files, served)
    with pytest.raises(
        VicinalError, match=r"the download of https://.* failed \(another file came, .* bytes, checksum [0-9a-f]{64}\)"
    ):
        fetch(tmp_path)
    assert listed(tmp_path) == []


def test_a_resumed_download_is_checked_as_a_whole(tmp_path, site):
    partial = tmp_path / "weights" / f".net-{SHA256[:8]}.pth.part"
    partial.parent.mkdir()
    partial.write_bytes(b"of another file")
    with pytest.raises(VicinalError, match="another file came"):
        fetch(tmp_path)
    assert listed(tmp_path) == []
    assert fetch(tmp_path)["net"]["sha256"] == SHA256


def test_a_missing_file_names_the_address(tmp_path, site):
    site.files.clear()
    with pytest.raises(VicinalError, match="HTTP Error 404"):
        fetch(tmp_path)


def test_offline_says_what_is_expected_where(tmp_path, monkeypatch):
    publish(monkeypatch, CLOSED)
    with pytest.raises(VicinalError) as error:
        fetch(tmp_path)
    path = weights_path(tmp_path, "net")
    for words in (str(path), f"{CLOSED}net-{SHA256[:8]}.pth", SHA256[:8], "refused", "copy the file", "fetch_weights"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert listed(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    publish(monkeypatch, CLOSED)
    path = weights_path(tmp_path, "net")
    path.parent.mkdir()
    path.write_bytes(DATA[:-1])
    with pytest.raises(VicinalError, match=rf"{path.name}: damaged or another file .*{SHA256[:8]}\): delete it"):
        fetch(tmp_path)
    assert path.read_bytes() == DATA[:-1]


def test_two_processes_do_not_write_one_file(tmp_path, site, capsys):
    partial = tmp_path / "weights" / f".net-{SHA256[:8]}.pth.part"
    partial.parent.mkdir()
    with partial.open("ab") as file, ThreadPoolExecutor() as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = pool.submit(fetch, tmp_path)
        while "another process is downloading it" not in capsys.readouterr().err:
            assert not second.done()
            time.sleep(0.01)
        assert not site.asked
        fcntl.flock(file, fcntl.LOCK_UN)
        assert second.result()["net"]["sha256"] == SHA256
    assert len(site.asked) == 1


def test_only_https_is_followed(tmp_path, monkeypatch, site):
    with serving(Site(dict(site.files)), None) as plain:
        site.redirect = plain.url
        with pytest.raises(VicinalError, match=r"http://.*: not an https address"):
            fetch(tmp_path)
        publish(monkeypatch, plain.url)
        with pytest.raises(VicinalError, match=r"http://.*: not an https address"):
            fetch(tmp_path)
        assert plain.asked == []


def test_a_redirection_to_https_is_followed(tmp_path, certificate, site):
    with serving(Site(dict(site.files)), certificate) as other:
        site.redirect = other.url
        assert fetch(tmp_path)["net"]["sha256"] == SHA256


def test_a_download_through_a_redirection_is_resumed(tmp_path, certificate, site):
    with serving(Site(dict(site.files)), certificate) as other:
        site.redirect, other.cut = other.url, 1_500_000
        with pytest.raises(VicinalError, match="run again to resume it"):
            fetch(tmp_path)
        other.cut = None
        assert fetch(tmp_path)["net"]["sha256"] == SHA256
        assert [part for _, part in other.asked] == [None, "bytes=1500000-"]


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path, monkeypatch, site):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(VicinalError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(tmp_path)


def test_the_script_says_what_is_missing_in_one_line(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS["resnet18_imagenet"].file).write_bytes(b"x")
    command = [sys.executable, str(SCRIPT), "resnet18_imagenet", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "resnet18-f37072fd.pth: damaged or another file" in done.stderr
