"""Every entry of the registry: training, weights, mistakes, imports."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from built_models import FAMILIES, RESNETS, SMALL, images, make
from torch import nn
from torch.nn import functional as F

from vicinal.errors import VicinalError
from vicinal.models import build_model, registry
from vicinal.models.registry import ARCHITECTURES, architecture

torch.set_num_threads(1)

# --- every entry of the registry ---


@pytest.mark.parametrize("name", SMALL)
def test_training_step(name):
    model = make(name)
    # Weights of the same seed are the same.
    for a, b in zip(model.parameters(), make(name).parameters(), strict=True):
        assert torch.equal(a, b)
    x = images()
    logits = model(x)
    assert torch.equal(x, images())
    assert not any(getattr(module, "inplace", False) for module in model.modules())
    assert logits.shape == (2, 100)
    F.cross_entropy(logits, torch.tensor([3, 97])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # A convolution's bias is cancelled by the batch normalisation after it.
        if not (name.startswith("vgg") and key.startswith("features") and key.endswith("bias")):
            assert parameter.grad.any(), key
    model.eval()
    with torch.no_grad():
        once, one_by_one = model(x), torch.cat([model(x[:1]), model(x[1:])])
        other_layout = model(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(once, model(x))
    torch.testing.assert_close(once, one_by_one, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(once, other_layout, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_take_digits(name):
    model = make(name, num_classes=10, in_channels=1).eval()
    with torch.no_grad():
        assert model(images(3, channels=1, size=8)).shape == (3, 10)


def test_another_seed_gives_other_weights():
    a, b = make("resnet8", seed=0), make("resnet8", seed=1)
    assert not torch.equal(a.fc.weight, b.fc.weight)
    assert not torch.equal(a.stem[0].weight, b.stem[0].weight)


@pytest.mark.parametrize("name", ["resnet32x4", "wrn_16_2", "vgg8", "mobilenet_v2"])
def test_initial_weights(name):
    for module in make(name).modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None or not module.bias.any()
            if module.weight.numel() > 10_000:
                variance = 2 / (module.out_channels * module.kernel_size[0] ** 2)
                assert module.weight.var().item() == pytest.approx(variance, rel=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_entries_are_canonical_json(name):
    assert json.loads(json.dumps(ARCHITECTURES[name], allow_nan=False)) == ARCHITECTURES[name]


def test_architecture_returns_fresh_copies():
    first = architecture("resnet20")
    first["widths"][0] = 1
    first["depth"] = 8
    again = architecture("resnet20")
    assert again == {"family": "cifar_resnet", "depth": 20, "widths": [16, 16, 32, 64]}
    assert architecture("resnet32")["widths"] == [16, 16, 32, 64]


def test_adding_an_entry_is_enough(monkeypatch):
    entry = {"family": "vgg", "stages": [[8], [8]], "pooled_stages": 1}
    monkeypatch.setitem(registry.ARCHITECTURES, "tiny", entry)
    assert build_model(architecture("tiny"), 10, 1)(images(2, 1, 8)).shape == (2, 10)


# --- mistakes ---


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet21", "resnet20"),
        ("wrn-40-2", "wrn_40_2"),
        ("shufflenetv2", "shufflenet_v2"),
        (20, "are valid, e.g. resnet8, "),
        (["resnet20"], "resnet20"),
        (None, "are valid, e.g. resnet8, "),
    ],
)
def test_unknown_name_suggests_the_nearest(name, suggestion):
    with pytest.raises(VicinalError, match=suggestion) as error:
        architecture(name)
    assert "model" in str(error.value)


RESNET, WRN = ARCHITECTURES["resnet20"], ARCHITECTURES["wrn_16_2"]


V1, V2 = ARCHITECTURES["shufflenet_v1"], ARCHITECTURES["shufflenet_v2"]
PHOTO, BIT = ARCHITECTURES["resnet18_imagenet"], ARCHITECTURES["resnetv2_101x1_bit"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "family: there is no family None"),
        ({**RESNET, "family": "cifar_resent"}, "did you mean cifar_resnet"),
        ({**RESNET, "family": "layers"}, "no family 'layers'"),
        ({**RESNET, "family": "cifar_resnet.nn"}, "no family 'cifar_resnet.nn'"),
        ({**RESNET, "family": ["vgg"]}, "no family"),
        ({"family": "cifar_resnet", "depth": 20}, "takes depth, widths, not depth"),
        ({"family": "cifar_resnet"}, "takes depth, widths, not nothing"),
        ({**RESNET, "num_classes": 3}, "takes depth, widths, not"),
        ({**RESNET, "depth": 21}, r"depth: 21 is not of the form 6n\+2 \(8, 14, 20"),
        ({**RESNET, "depth": 2}, "depth: 2 is not"),
        ({**RESNET, "depth": "20"}, "depth: '20' is not"),
        ({**RESNET, "widths": [16, 16, 32]}, "widths: .* is not a list of 4 whole numbers"),
        ({**RESNET, "widths": [16, 16, 32, 0]}, "widths: "),
        ({**RESNET, "widths": 16}, "widths: 16 is not"),
        ({**WRN, "depth": 20}, r"depth: 20 is not of the form 6n\+4 \(10, 16"),
        ({**WRN, "widen_factor": 1.5}, "widen_factor: "),
        ({"family": "vgg", "stages": [[8], []], "pooled_stages": 1}, r"stages\[1\]"),
        ({"family": "mobilenet_v2", "expansion": 0, "width": 0.5}, "expansion: "),
        ({**V1, "groups": 7}, "widths: .* multiples of the 7 groups"),
        ({**V1, "widths": [24, 480, 960]}, "widths: a unit from 24 to 24"),
        ({**V1, "blocks": [4, 8]}, "blocks: .* list of 3"),
        ({**V2, "widths": [117, 232, 464]}, "widths: .* not all even"),
        ({**V2, "head": None}, "head: "),
        ({**PHOTO, "network": "resnet20"}, r"network: there is no 'resnet20' \(did you mean resnet"),
        ({**PHOTO, "network": ["resnet18"]}, r"network: there is no \['resnet18'\]"),
        ({**PHOTO, "head": "deep"}, r"head: there is no 'deep' \(valid: linear, mlp\)"),
        ({**PHOTO, "stochastic_depth": 0.1}, "family torchvision_networks takes network, head, dropout, not network, "),
        ({**PHOTO, "network": "vit_b_61"}, r"network: there is no 'vit_b_61' \(did you mean vit_b_16\?\)"),
        ({**BIT, "network": "resnetv2_200"}, "network: there is no 'resnetv2_200'"),
    ],
)
def test_wrong_architectures(entry, message):
    with pytest.raises(VicinalError, match=message) as error:
        build_model(entry, 10)
    assert "\n" not in str(error.value)


# --- imports: start-up time, and one code fingerprint a family ---


@pytest.mark.parametrize("family", FAMILIES)
def test_families_import_no_other_family(family):
    spec = importlib.util.find_spec(f"vicinal.models.{family}")
    imported = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    ours = {name for name in imported if name.startswith((".", "vicinal"))}
    assert ours <= {"vicinal.errors", "vicinal.models.heads", "vicinal.models.layers"}
