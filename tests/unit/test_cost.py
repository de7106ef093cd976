"""Costs of networks: against published numbers and sums by hand; counted once, and kept in a file."""

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from built_models import TIMM, count

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models import cost as module
from vicinal.models.cost import SHIPPED, Cost, Costs, cost_key, count_cost, shipped_costs
from vicinal.models.registry import TRUNKS, architecture
from vicinal.spec import canonical

ROOT = Path(__file__).resolve().parents[2]
COSTS = Costs()
IMAGE = (10, 1, 8, 8)


def test_the_counts_are_sums_by_hand():
    # resnet8 at 8x8: the stem, three blocks of two convolutions, two projections, the last layer
    convolutions = [(16 * 9, 64), *[(16 * 16 * 9, 64)] * 2, (16 * 32 * 9, 16), (32 * 32 * 9, 16), (16 * 32, 16)]
    convolutions += [(32 * 64 * 9, 4), (64 * 64 * 9, 4), (32 * 64, 4)]
    cost = COSTS.of(architecture("resnet8"), *IMAGE)
    assert cost.macs == sum(weights * places for weights, places in convolutions) + 64 * 10
    assert cost.calls == len(convolutions) + 1
    normalised = 3 * 16 + 3 * 32 + 3 * 64
    assert cost.parameters == sum(weights for weights, _ in convolutions) + 2 * normalised + 64 * 10 + 10
    # mean and variance in fp32, and the number of batches in int64
    assert cost.weights_bytes == 4 * (cost.parameters + 2 * normalised) + 8 * 9


# Multiply-accumulates of one image of 224x224 at 1000 classes, in 10^9: what torchvision publishes with its weights.
@pytest.mark.parametrize("name", [name for name in TRUNKS if name not in TIMM])
def test_multiply_accumulates_are_the_published_ones(name):
    published = torchvision.models.get_model_weights(name.removesuffix("_imagenet")).IMAGENET1K_V1.meta
    cost = COSTS.of(architecture(name), 1000, 3, 224, 224)
    assert round(cost.macs / 1e9, 3) == published["_ops"]
    assert cost.parameters == published["num_params"]


def parameters(name):
    """Return the number of parameters of a network with 1000 classes; to count its operations too takes a second."""
    with torch.device("meta"):
        return count(build_model(architecture(name), 1000))


# results/results-imagenet.csv of timm: millions of parameters at 1000 classes; R101x1 as its ResNetV2-101
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnetv2_50_imagenet", 25.55),
        ("resnetv2_101_imagenet", 44.54),
        ("resnetv2_152x2_bit", 236.34),
        ("resnetv2_101x1_bit", 44.54),
        ("vit_b_16_in21k", 86.57),
    ],
)
def test_parameters_of_timms_networks_are_the_published_ones(name, millions):
    assert round(parameters(name) / 1e6, 2) == millions


# its model cards: 10^9 multiply-accumulates of an image of 224x224
@pytest.mark.parametrize(("name", "billions"), [("resnetv2_50_imagenet", 4.1), ("resnetv2_101_imagenet", 7.8)])
def test_multiply_accumulates_of_timms_networks_are_the_published_ones(name, billions):
    assert round(COSTS.of(architecture(name), 1000, 3, 224, 224).macs / 1e9, 1) == billions


def test_a_vision_transformer_costs_the_same_from_torchvision_and_from_timm():
    costs = [COSTS.of(architecture(name), 1000, 3, 224, 224) for name in ("vit_b_16", "vit_b_16_in21k")]
    assert costs[0][:4] == costs[1][:4]


def test_resnetv2_152_is_keras_resnet152v2_but_for_its_biases():
    # Keras counts 60,380,648, of which 143,744 are statistics of batch normalisation.
    blocks = zip((256, 512, 1024, 2048), (3, 8, 36, 3), strict=True)
    biases = 64 + sum((repeats + 1) * width for width, repeats in blocks)  # stem; last convolutions and shortcuts
    assert parameters("resnetv2_152_imagenet") + biases == 60_380_648 - 143_744


def test_images_that_a_network_does_not_take_are_named():
    for name in ("vit_b_16_mlp", "vit_b_16_in21k"):
        with pytest.raises(
            VicinalError, match=r"(torchvision|timm)_networks does not take images of 32x32 with 3 channels: "
        ) as error:
            COSTS.of(architecture(name), 10, 3, 32, 32)
        assert "\n" not in str(error.value)


# He et al. 2016, table 6; Zagoruyko & Komodakis 2016, table 4: millions of parameters, CIFAR-10
@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet56", 0.85), ("resnet110", 1.7), ("wrn_40_1", 0.6), ("wrn_40_2", 2.2)],
)
def test_parameters_are_the_published_ones(name, millions):
    parameters = COSTS.of(architecture(name), 10, 3, 32, 32).parameters / 1e6
    assert parameters == pytest.approx(millions, abs=0.06)


def test_a_family_that_there_is_not_is_named():
    with pytest.raises(VicinalError, match=r"architecture.family: there is no family 'perceptron'"):
        COSTS.of({"family": "perceptron"}, 10, 3, 32, 32)


def no_counting(*asked):
    raise AssertionError("counted again")


def test_what_was_counted_once_is_read_from_the_file(tmp_path, monkeypatch):
    file = tmp_path / "plan" / "costs.json"
    costs, wanted = Costs(file), [(architecture(name), *IMAGE) for name in ("resnet8", "resnet14")]
    counted = [costs.of(*asked) for asked in wanted]
    monkeypatch.setattr(module, "count_cost", no_counting)
    assert [Costs(file).of(*asked) for asked in wanted] == counted
    with pytest.raises(AssertionError):
        Costs(file).of(architecture("resnet8"), 10, 3, 8, 8)
    monkeypatch.setattr(module, "fingerprint_code", lambda *of: "changed")
    with pytest.raises(AssertionError):
        Costs(file).of(*wanted[0])


EXPORT = ROOT / "workflow" / "scripts" / "export_costs.py"


def test_the_shipped_costs_are_of_the_present_code_and_of_the_shipped_experiments(monkeypatch):
    monkeypatch.chdir(ROOT)
    wanted = sorted(set(runpy.run_path(str(EXPORT))["shipped_networks"]()))
    with SHIPPED.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    remedy = f"{SHIPPED.name} is out of date; write it anew by: python workflow/scripts/{EXPORT.name}"
    assert [(row[0], *map(int, row[1:5])) for row in rows] == wanted, remedy
    shipped = shipped_costs()
    assert list(shipped) == [cost_key(canonical(architecture(name)), *image) for name, *image in wanted], remedy
    for name, *image in wanted:
        if image[0] == 10 and image[2] <= 32:  # the others take a while
            asked = canonical(architecture(name)), *image
            assert Cost(*shipped[cost_key(*asked)]) == count_cost(*asked), name


def test_shipped_costs_are_not_counted_unless_the_code_changed(tmp_path, monkeypatch):
    costs = Costs(tmp_path / "costs.json", shipped_costs())
    with monkeypatch.context() as patched:
        patched.setattr(module, "count_cost", no_counting)
        cost = costs.of(architecture("resnet8"), *IMAGE)
        patched.setattr(module, "fingerprint_code", lambda *of: "changed")
        with pytest.raises(AssertionError):
            Costs(None, shipped_costs()).of(architecture("resnet8"), *IMAGE)
    assert cost == COSTS.of(architecture("resnet8"), *IMAGE)
    assert not costs.file.exists()


@pytest.mark.parametrize("content", ["", "[]", "{", "3"])
def test_a_damaged_file_is_made_anew(tmp_path, content):
    file = tmp_path / "costs.json"
    file.write_text(content)
    cost = Costs(file).of(architecture("resnet8"), *IMAGE)
    assert [list(cost)] == list(json.loads(file.read_text()).values())
    file.write_text(json.dumps({key: [1] for key in json.loads(file.read_text())}))
    assert Costs(file).of(architecture("resnet8"), *IMAGE) == cost


def test_costs_that_are_kept_need_no_torch(tmp_path):
    Costs(tmp_path / "costs.json").of(architecture("resnet8"), *IMAGE)
    code = """
import sys
from pathlib import Path
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture
Costs(Path("costs.json")).of(architecture("resnet8"), 10, 1, 8, 8)
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
