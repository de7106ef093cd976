"""The GPU memory of a training, in closed form: against what autograd keeps, and against a sum by hand."""

import pytest
import torch

from vicinal.estimate.memory import activations, training_bytes
from vicinal.estimate.shape import Shape
from vicinal.models import build_model
from vicinal.models.cost import model_cost
from vicinal.models.registry import architecture

CIFAR = Shape(10, 32, 32, 3, 45_000, 5_000, 10_000, 60_000)
RECIPE = {"optimizer": "sgd", "momentum": 0.9, "batch_size": 64}


def kept_by_autograd(name, size, images=2):
    """Return how many numbers an image autograd keeps of a forward pass, weights aside."""
    torch.set_num_threads(1)
    model = build_model(architecture(name), 10, 3).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.rand(images, 3, size, size))
        return sum(storage.nbytes() for storage in kept.values()) / 4 / images


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, 32) for name in ("resnet8", "resnet8x4", "resnet56", "wrn_16_2", "vgg8", "mobilenet_v2")),
        *((name, 32) for name in ("shufflenet_v1", "shufflenet_v2")),
        *((name, 224) for name in ("resnet18_imagenet", "mobilenet_v2_imagenet", "convnext_tiny", "vit_b_16")),
    ],
)
def test_activations_are_about_what_autograd_keeps(name, size):
    assert 0.85 < kept_by_autograd(name, size) / activations(architecture(name), 10, 3, size, size) < 1.7


def test_the_bytes_are_a_sum_by_hand():
    # resnet8 of width 16 at 8x8: each of 7 convolutions and 2 projections, then its normalisation.
    numbers = 2 * (3 * 16 * 64 + 3 * 32 * 16 + 3 * 64 * 4) + 10
    image = (10, 1, 8, 8)
    assert activations(architecture("resnet8"), *image) == numbers
    cost = model_cost(architecture("resnet8"), *image)
    shape = Shape(10, 8, 8, 1, 150, 597, 900, 1797)
    spec = {"model": architecture("resnet8"), "recipe": {**RECIPE, "batch_size": 32}}
    own = 4 * (3 * cost.parameters + cost.buffers)
    assert training_bytes(spec, 1, shape, "fp32") == own + 4 * 32 * numbers
    assert training_bytes(spec, 5, shape, "bf16") == 5 * (own + 2 * 32 * numbers)
    adam = training_bytes({**spec, "recipe": {"optimizer": "adam", "batch_size": 32}}, 1, shape)
    assert adam == own + 4 * cost.parameters + 2 * 32 * numbers
    plain = training_bytes({**spec, "recipe": {**spec["recipe"], "momentum": 0.0}}, 1, shape)
    assert plain == own - 4 * cost.parameters + 2 * 32 * numbers


def test_the_teacher_adds_its_weights_and_a_crop_counts_as_the_image():
    spec = {"model": architecture("resnet8"), "recipe": RECIPE}
    teacher = architecture("resnet56")
    more = training_bytes({**spec, "teacher": {"model": teacher}}, 3, CIFAR) - training_bytes(spec, 3, CIFAR)
    assert more == model_cost(teacher, *CIFAR.image).weights_bytes
    cropped = training_bytes({**spec, "recipe": {**RECIPE, "crop": 64}}, 1, CIFAR)
    assert cropped > 3.5 * training_bytes(spec, 1, CIFAR)
