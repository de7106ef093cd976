import ast
import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenetv2, resnet, shufflenetv2, vgg

from vicinal.errors import VicinalError
from vicinal.models import build_model, registry
from vicinal.models.layers import channel_shuffle
from vicinal.models.registry import ARCHITECTURES, architecture

RESNETS = sorted(name for name in ARCHITECTURES if name.startswith("resnet"))
FAMILIES = sorted({entry["family"] for entry in ARCHITECTURES.values()})

# 100 classes. resnet20, 56, 110: model list of osmr/imgclsmob; wrn_40_2: the public code of AugMix.
# The others: the public implementation of Tian et al. 2020 (CRD), as quoted in the literature.
COUNTS = {
    "resnet20": 278_324,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenet_v2": 812_836,
    "shufflenet_v1": 949_258,
    "shufflenet_v2": 1_355_528,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def make(name, num_classes=100, in_channels=3, seed=0):
    torch.manual_seed(seed)
    return build_model(architecture(name), num_classes, in_channels)


def images(n=2, channels=3, size=32):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def randomise(model):
    """Float64, eval mode, and no normalisation left at its neutral initial value."""
    model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, least in ((module.weight, 0.5), (module.running_var, 0.5)):
                nn.init.uniform_(tensor, least, least + 1)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return model


def transplant(model, oracle):
    """Load the weights of ``model`` into ``oracle``, matched by their order."""
    weights, slots = list(model.state_dict().values()), oracle.double().state_dict()
    assert [w.shape for w in weights] == [s.shape for s in slots.values()]
    oracle.load_state_dict(dict(zip(slots, weights, strict=True)))
    return oracle.eval()


# --- parameter counts and depth ---


@pytest.mark.parametrize("name", COUNTS)
def test_published_parameter_count(name):
    assert count(make(name)) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "millions"),
    # He et al. 2016, table 6, 10 classes
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
)
def test_parameter_count_of_the_resnet_paper(name, millions):
    assert round(count(make(name, num_classes=10)) / 1e6, 2) == pytest.approx(millions, abs=0.011)


@pytest.mark.parametrize(
    ("depth", "widen_factor", "num_classes", "parameters"),
    # model list of osmr/imgclsmob; the paper rounds these to 36.5 M, 17.1 M and 35.7 M
    [
        (28, 10, 10, 36_479_194),
        (16, 10, 10, 17_116_634),
        (16, 10, 100, 17_174_324),
        (40, 8, 10, 35_748_314),
    ],
)
def test_published_parameter_count_of_wider_wrns(depth, widen_factor, num_classes, parameters):
    entry = {"family": "wide_resnet", "depth": depth, "widen_factor": widen_factor}
    with torch.device("meta"):
        assert count(build_model(entry, num_classes)) == parameters


@pytest.mark.parametrize(
    ("name", "depth"),
    [(n, ARCHITECTURES[n]["depth"]) for n in (*RESNETS, "wrn_16_1", "wrn_16_2", "wrn_40_1")],
)
def test_depth_counts_the_layers_with_weights(name, depth):
    model = make(name)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    spatial = [m for m in convolutions if m.kernel_size == (3, 3)]
    shortcuts = [m for m in convolutions if m.kernel_size == (1, 1)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    widths = ARCHITECTURES[name].get("widths") or [
        16 * k for k in (1, *(ARCHITECTURES[name]["widen_factor"] * m for m in (1, 2, 4)))
    ]
    changes = sum(a != b for a, b in itertools.pairwise(widths))
    assert len(shortcuts) == changes
    assert sum(m.stride == (2, 2) for m in spatial) == 2
    if name.startswith("resnet"):
        assert len(spatial) + 1 == depth  # and the linear layer
        assert len(norms) == len(convolutions)
    else:
        assert len(spatial) + 3 == depth  # the paper counts a shortcut convolution a stage
        assert len(norms) == len(spatial)


# --- forward passes against other implementations ---


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "resnet8x4", "resnet8_narrow"])
def test_resnet_equals_torchvision_blocks(name):
    model = randomise(make(name))
    n = (ARCHITECTURES[name]["depth"] - 2) // 6
    widths = ARCHITECTURES[name]["widths"]
    layers = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for stage in (1, 2, 3):
        stride, before, width = (1 if stage == 1 else 2), widths[stage - 1], widths[stage]
        down = None
        if stride != 1 or before != width:
            down = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        layers.append(resnet.BasicBlock(before, width, stride, down))
        layers += [resnet.BasicBlock(width, width) for _ in range(n - 1)]
    layers += [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(widths[3], 100)]
    oracle = transplant(model, nn.Sequential(*layers))
    torch.testing.assert_close(model(images().double()), oracle(images().double()))


@pytest.mark.parametrize("name", ["vgg8", "vgg13"])
def test_vgg_equals_torchvision_layers(name):
    model = randomise(make(name))
    one, two = [64, "M", 128, "M", 256, "M", 512, 512], [64, 64, "M", 128, 128, "M", 256, 256, "M"]
    layers = vgg.make_layers(one if name == "vgg8" else [*two, *[512] * 4], batch_norm=True)
    oracle = nn.Sequential(layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(512, 100))
    transplant(model, oracle)
    torch.testing.assert_close(model(images().double()), oracle(images().double()))


def test_mobilenet_v2_equals_torchvision_with_its_known_differences():
    model = randomise(make("mobilenet_v2"))
    settings = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    oracle = mobilenetv2.MobileNetV2(100, 0.5, settings, round_nearest=4)
    expand = [nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    oracle.features[1] = nn.Sequential(*expand, oracle.features[1])
    for module in list(oracle.modules()):
        for child, layer in module.named_children():
            if isinstance(layer, nn.ReLU6):
                setattr(module, child, nn.ReLU())
    transplant(model, oracle)
    torch.testing.assert_close(model(images().double()), oracle(images().double()))


def test_shufflenet_v2_equals_torchvision_with_a_small_stem():
    model = randomise(make("shufflenet_v2"))
    oracle = shufflenetv2.ShuffleNetV2([4, 8, 4], [24, 116, 232, 464, 1024], 100)
    oracle.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    oracle.maxpool = nn.Identity()
    transplant(model, oracle)
    torch.testing.assert_close(model(images().double()), oracle(images().double()))


class Reader:
    """The weights of a model one after the other, as plain functions of torch."""

    def __init__(self, model):
        self.weights = iter(model.state_dict().values())

    def conv(self, x, stride=1, groups=1):
        weight = next(self.weights)
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)

    def norm(self, x):
        weight, bias, mean, var, _ = (next(self.weights) for _ in range(5))
        return (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * weight[:, None, None] + bias[
            :, None, None
        ]

    def linear(self, x):
        logits = x @ next(self.weights).T + next(self.weights)
        assert next(self.weights, None) is None
        return logits


@pytest.mark.parametrize("name", ["wrn_16_1", "wrn_16_2"])
def test_wrn_equals_a_plain_pre_activation_network(name):
    model = randomise(make(name))
    widths = [16, *(16 * int(name[-1]) * m for m in (1, 2, 4))]
    # the order in which blocks hold their weights: bn1, conv1, bn2, conv2, shortcut
    read = Reader(model)
    x = read.conv(images().double())
    for stage in (1, 2, 3):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            activated = read.norm(x).clamp(min=0)
            out = read.norm(read.conv(activated, stride)).clamp(min=0)
            out = read.conv(out)
            changes = block == 0 and widths[stage] != widths[stage - 1]
            x = out + (read.conv(activated, stride) if changes else x)
    assert x.shape[1:] == (widths[3], 8, 8)
    logits = read.linear(read.norm(x).clamp(min=0).flatten(2).mean(2))
    torch.testing.assert_close(model(images().double()), logits)


def test_shufflenet_v1_equals_a_plain_one_with_torchs_channel_shuffle():
    model = randomise(make("shufflenet_v1"))
    read = Reader(model)
    x = read.norm(read.conv(images().double())).clamp(min=0)
    for width, blocks in zip([240, 480, 960], [4, 8, 4], strict=True):
        for block in range(blocks):
            groups = 1 if x.shape[1] == 24 else 3
            out = read.norm(read.conv(x, groups=groups)).clamp(min=0)
            if groups == 3:
                out = F.channel_shuffle(out, 3)
            hidden = out.shape[1]
            out = read.norm(read.conv(out, 2 if block == 0 else 1, groups=hidden)).clamp(min=0)
            out = read.norm(read.conv(out, groups=3))
            out = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1) if block == 0 else out + x
            x = out.clamp(min=0)
            assert x.shape[1] == width
    assert x.shape[2:] == (4, 4)
    torch.testing.assert_close(model(images().double()), read.linear(x.flatten(2).mean(2)))


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_channel_shuffle_equals_torch(groups):
    x = images(channels=12, size=3)
    assert torch.equal(channel_shuffle(x, groups), nn.ChannelShuffle(groups)(x))


# --- every entry of the registry ---


@pytest.mark.parametrize("name", ARCHITECTURES)
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
        (20, "valid: resnet8, "),
        (["resnet20"], "resnet20"),
        (None, "valid: resnet8, "),
    ],
)
def test_unknown_name_suggests_the_nearest(name, suggestion):
    with pytest.raises(VicinalError, match=suggestion) as error:
        architecture(name)
    assert "model" in str(error.value)


RESNET, WRN = ARCHITECTURES["resnet20"], ARCHITECTURES["wrn_16_2"]
V1, V2 = ARCHITECTURES["shufflenet_v1"], ARCHITECTURES["shufflenet_v2"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("resnet20", "is not a mapping"),
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
        ({"family": "vgg", "stages": 8, "pooled_stages": 1}, "stages: 8"),
        ({"family": "vgg", "stages": [[8]], "pooled_stages": 2}, "pooled_stages: 2 .* 0 to 1"),
        ({"family": "mobilenet_v2", "expansion": 0, "width": 0.5}, "expansion: "),
        ({"family": "mobilenet_v2", "expansion": 6, "width": 0}, "width: 0 is not"),
        ({"family": "mobilenet_v2", "expansion": 6, "width": "half"}, "width: 'half' is not"),
        ({**V1, "groups": 7}, "widths: .* multiples of the 7 groups"),
        ({**V1, "widths": [24, 480, 960]}, "widths: a unit from 24 to 24"),
        ({**V1, "blocks": [4, 8]}, "blocks: .* list of 3"),
        ({**V2, "widths": [117, 232, 464]}, "widths: .* not all even"),
        ({**V2, "head": None}, "head: "),
    ],
)
def test_wrong_architectures(entry, message):
    with pytest.raises(VicinalError, match=message) as error:
        build_model(entry, 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("num_classes", "in_channels", "field"),
    [(1, 3, "num_classes"), (True, 3, "num_classes"), ("10", 3, "num_classes"), (10, 0, "in_cha")],
)
def test_wrong_sizes(num_classes, in_channels, field):
    with pytest.raises(VicinalError, match=field):
        build_model(architecture("resnet8"), num_classes, in_channels)


# --- imports: start-up time, and one code fingerprint a family ---


def test_the_registry_imports_no_torch():
    code = (
        "import sys, vicinal.models.registry; "
        "print(sorted({'torch', 'torchvision', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(Path(registry.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


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
    assert ours <= {"vicinal.errors", "vicinal.models.layers"}
