"""The GPU memory of a training: against what autograd keeps of real numbers, and against a sum by hand."""

import pytest
import torch

from vicinal.models import build_model
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture
from vicinal.running.estimate.memory import training_bytes
from vicinal.running.estimate.shape import Shape

COSTS = Costs()
CIFAR = Shape(10, 32, 32, 3, 45_000, 5_000, 10_000, 60_000)
RECIPE = {"optimizer": "sgd", "momentum": 0.9, "batch_size": 64}


def kept_by_autograd(name, size, images):
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
def test_activations_are_what_autograd_keeps(name, size):
    kept = kept_by_autograd(name, size, 16 if size == 32 else 1)
    # Attention keeps less where it is computed by a kernel of its own; here it is counted step by step.
    least = 0.6 if name.startswith("vit") else 0.97
    assert least < kept / COSTS.of(architecture(name), 10, 3, size, size).activations < 1.03


def test_the_bytes_are_a_sum_by_hand():
    image = (10, 1, 8, 8)
    cost = COSTS.of(architecture("resnet8"), *image)
    # The image; of 7 convolutions and 2 projections what each gives out and what its normalisation does, except the
    # sums of the blocks, which overwrite one of theirs; the features.
    numbers = 64 + 2 * (3 * 16 * 64 + 3 * 32 * 16 + 3 * 64 * 4) - 32 * 16 - 64 * 4 + 64
    assert cost.activations == pytest.approx(numbers, rel=0.1)
    shape = Shape(10, 8, 8, 1, 150, 597, 900, 1797)
    spec = {"model": architecture("resnet8"), "recipe": {**RECIPE, "batch_size": 32}}
    own = cost.weights_bytes + 4 * 2 * cost.parameters  # gradient and momentum
    assert training_bytes(spec, 1, shape, COSTS, "fp32") == own + 4 * 32 * cost.activations
    assert training_bytes(spec, 5, shape, COSTS, "bf16") == 5 * (own + 2 * 32 * cost.activations)
    adam = training_bytes({**spec, "recipe": {"optimizer": "adam", "batch_size": 32}}, 1, shape, COSTS)
    assert adam == own + 4 * cost.parameters + 2 * 32 * cost.activations
    plain = training_bytes({**spec, "recipe": {**spec["recipe"], "momentum": 0.0}}, 1, shape, COSTS)
    assert plain == own - 4 * cost.parameters + 2 * 32 * cost.activations


def test_the_teacher_adds_its_weights_and_a_crop_counts_as_the_image():
    spec = {"model": architecture("resnet8"), "recipe": RECIPE}
    teacher, alone = architecture("resnet56"), training_bytes(spec, 3, CIFAR, COSTS)
    more = training_bytes({**spec, "teacher": {"model": teacher}}, 3, CIFAR, COSTS) - alone
    assert more == COSTS.of(teacher, *CIFAR.image).weights_bytes
    cropped = training_bytes({**spec, "recipe": {**RECIPE, "crop": 64}}, 1, CIFAR, COSTS)
    assert cropped > 3.5 * training_bytes(spec, 1, CIFAR, COSTS)
