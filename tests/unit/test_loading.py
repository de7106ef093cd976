"""Loading a file of weights into a network."""

import hashlib
from pathlib import Path

import pytest
import torch
import torchvision
from built_models import images, make
from safetensors.torch import save_file
from test_checkpoint_file import Runs
from torch import nn

from vicinal.errors import VicinalError
from vicinal.models.loading import load_pretrained

torch.set_num_threads(1)


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
