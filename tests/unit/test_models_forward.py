"""Forward passes of the models against other implementations."""

import pytest
import torch
from built_models import images, make, randomise, transplant
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenetv2, resnet, shufflenetv2, vgg

from vicinal.models.layers import channel_shuffle
from vicinal.models.registry import ARCHITECTURES

torch.set_num_threads(1)


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
