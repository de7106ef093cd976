"""Published weights: their table, their download, and loading them."""

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
from built_models import TIMM, images, make
from https_server import Site, make_certificate, serving
from safetensors.torch import save_file
from torch import nn

from vicinal.errors import VicinalError
from vicinal.models import pretrained
from vicinal.models.fetch import fetch_weights
from vicinal.models.loading import load_pretrained
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


# --- loading ---


def saved(path: Path, state: dict, **options) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path, **options)
    return path


@pytest.fixture(scope="module")
def resnet18() -> dict[str, torch.Tensor]:
    """Return weights that differ from those a network starts with."""
    torch.manual_seed(7)
    state = torchvision.models.resnet18().state_dict()
    return {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}


def differing(model: nn.Module, state: dict[str, torch.Tensor]) -> set[str]:
    mine = model.state_dict()
    return {name for name, value in state.items() if name not in mine or not torch.equal(mine[name], value)}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["resnet18_imagenet", "resnet18_imagenet_dropout", "resnet18_imagenet_mlp"])
def test_all_but_the_head_is_loaded(tmp_path, resnet18, name, ending):
    path = saved(tmp_path / f"weights{ending}", resnet18)
    model, fresh = make(name), make(name)
    assert load_pretrained(model, path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert differing(model, resnet18) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(a, b) for a, b in zip(model.fc.parameters(), fresh.fc.parameters(), strict=True))


@pytest.mark.parametrize("name", ["resnet18_imagenet", "resnet18_imagenet_dropout"])
def test_the_head_is_loaded_on_request(tmp_path, resnet18, name):
    model = make(name, num_classes=1000)
    load_pretrained(model, saved(tmp_path / "weights.pth", resnet18), head=True)
    assert differing(model, resnet18) == set()
    with pytest.raises(VicinalError, match=r"weights\.pth: weights for 1,000 classes, the data have 10"):
        load_pretrained(make(name, num_classes=10), tmp_path / "weights.pth", head=True)
    with pytest.raises(VicinalError, match=r"missing: fc.hidden.weight, .* and \d more; unknown: fc.weight, fc.bias"):
        load_pretrained(make("resnet18_imagenet_mlp"), tmp_path / "weights.pth", head=True)


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2"])
def test_networks_for_small_images_are_loaded_too(tmp_path, name):
    teacher = make(name, seed=1)
    path = saved(tmp_path / "weights.safetensors", teacher.state_dict())
    model = make(name)
    load_pretrained(model, path, head=True)
    with torch.no_grad():
        assert torch.equal(model.eval()(images()), teacher.eval()(images()))
    other = make(name, num_classes=7)
    load_pretrained(other, path)
    assert differing(other, teacher.state_dict()) == {"fc.weight", "fc.bias"}


def test_files_of_old_versions_are_read(tmp_path, resnet18):
    # They have no number of batches, and are not zip archives.
    old = {name: value for name, value in resnet18.items() if not name.endswith("num_batches_tracked")}
    assert len(old) == len(resnet18) - 20
    model = make("resnet18_imagenet")
    load_pretrained(model, saved(tmp_path / "weights.pth", old, _use_new_zipfile_serialization=False))
    assert differing(model, old) == {"fc.weight", "fc.bias"}


def test_old_names_of_a_vision_transformer_are_understood(tmp_path):
    teacher = make("vit_b_16", seed=1)
    names = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}
    old = {}
    for name, value in teacher.state_dict().items():
        for new_name, old_name in names.items():
            name = name.replace(new_name, old_name)
        old[name] = value
    assert sum("linear_2" in name for name in old) == 24
    model = make("vit_b_16")
    load_pretrained(model, saved(tmp_path / "weights.safetensors", old))
    assert differing(model, teacher.state_dict()) <= {"heads.head.weight", "heads.head.bias"}


def test_a_last_layer_of_timm_is_a_convolution(tmp_path):
    teacher = make("resnet8", seed=1)
    state = teacher.state_dict() | {"fc.weight": teacher.fc.weight.detach()[..., None, None]}
    model = make("resnet8")
    load_pretrained(model, saved(tmp_path / "weights.pth", state), head=True)
    assert differing(model, teacher.state_dict()) == set()


def test_another_network_is_named_by_the_first_names(tmp_path, resnet18):
    path = saved(tmp_path / "weights.pth", resnet18)
    with pytest.raises(VicinalError, match=r"weights.pth: the weights of another network \(missing: layer1.2") as error:
        load_pretrained(make("resnet34_imagenet"), path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    with pytest.raises(VicinalError, match=r"unknown: conv1.weight"):
        load_pretrained(make("resnet8"), path)


def test_a_file_that_was_replaced_is_named(tmp_path, resnet18):
    path = saved(tmp_path / "weights.pth", resnet18)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    load_pretrained(make("resnet18_imagenet"), path, sha256=found[:8])
    with pytest.raises(VicinalError, match=rf"damaged or replaced: its SHA-256 is {found}, not 00000000"):
        load_pretrained(make("resnet18_imagenet"), path, sha256="00000000")


class Runs:
    """What a pickle could run."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_what_is_no_state_dict_is_refused_and_nothing_in_it_runs(tmp_path, monkeypatch, resnet18):
    monkeypatch.chdir(tmp_path)
    for content in (Runs(), {"model": resnet18}, [1, 2], {"epoch": 3}):
        with pytest.raises(VicinalError, match=r"weights.pth: not a (file of weights|state dict)"):
            load_pretrained(make("resnet8"), saved(tmp_path / "weights.pth", content))
    assert not (tmp_path / "ran").exists()
    for name in ("weights.pth", "weights.safetensors"):
        for junk in (b"", b"\x80\x02text", b"<html>"):
            (tmp_path / name).write_bytes(junk)
            with pytest.raises(VicinalError, match=f"{name}: not a file of weights") as error:
                load_pretrained(make("resnet8"), tmp_path / name)
            assert "\n" not in str(error.value)
    with pytest.raises(VicinalError, match=r"none.pth: no such file"):
        load_pretrained(make("resnet8"), tmp_path / "none.pth")
