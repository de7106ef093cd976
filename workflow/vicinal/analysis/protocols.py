"""How the published numbers were made, as far as it is known, and how our runs differ: see docs/protocol.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vicinal.models.registry import TRUNKS
from vicinal.spec import more_weights

# Ending of our name of a network → its head.
HEADS = {"": "a linear layer", "_dropout": "dropout and a linear layer", "_mlp": "two dense layers"}
ALONE = ("teacher", "ce")  # methods of published models that were trained without a teacher, on cross-entropy
_RECIPE = {  # field of a recipe → what a sentence calls it
    "optimizer": "optimiser", "lr": "learning rate", "batch_size": "batch", "epochs": "epochs", "schedule": "schedule",
    "head_epochs": "epochs of the head alone before", "resize": "images enlarged to", "gamma": "factor of a drop",
    "patience": "patience", "lr_min": "lowest learning rate",
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """What is known of how the published numbers of one setting were made.

    Attributes:
        title: of the setting.
        train: data set → number of training images.
        test: number of test images.
        pixels: side of the images that the networks see; None: 32, images as they are.
        pretrained: whether the networks started from ImageNet weights.
        heads: ending of our name of a network with their head: of a teacher, and of a student.
        names: our name of a network, without endings, → theirs, where they differ.
        recipes: method (``teacher``, ``ce``, ``kd``) → the known fields of its recipe, for numbers from ``sources``.
        sources: how the names of these sources begin.
        pure: whether students learn from the teacher's answers alone, with λ drawn for each sample.
        others: sentences on what differs in all our runs.
    """

    title: str
    train: Mapping[str, int]
    test: int
    pixels: int | None = None
    pretrained: bool = False
    heads: tuple[str, str] = ("", "")
    names: Mapping[str, str] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    pure: bool = False
    others: tuple[str, ...] = ("ours is the last epoch, chosen on nothing",)


_SCRATCH32 = {"optimizer": "sgd", "batch_size": 64, "epochs": 240, "schedule": "step"}
# Patience as ours: drops come one epoch later than with Keras' of the same number.
_AUTHORS_TEACHER = {"optimizer": "sgd", "lr": 1e-4, "schedule": "plateau", "gamma": 0.9, "patience": 0, "lr_min": 1e-5}
_AUTHORS_CE = {
    "optimizer": "adam", "lr": 1e-3, "batch_size": 250, "epochs": 200, "schedule": "plateau", "head_epochs": 0,
    "resize": 243, "gamma": 0.9, "patience": 3, "lr_min": 1e-6,
}  # fmt: skip
_AUTHORS_KD = {
    "optimizer": "adam", "lr": 5e-4, "batch_size": 200, "epochs": 500, "schedule": "piecewise", "head_epochs": 10,
    "resize": 236,
}  # fmt: skip
_IMAGENET = {"optimizer": "sgd", "lr": 0.1, "batch_size": 256, "schedule": "step"}
PROTOCOLS = {
    "scratch32": Protocol(
        "32 × 32 pixels, trained from scratch",
        {"cifar10": 50_000, "cifar100": 50_000},
        10_000,
        recipes=dict.fromkeys(("teacher", "ce", "kd"), _SCRATCH32),
        sources=("Tian et al. 2020",),
    ),
    "transfer224": Protocol(
        "enlarged to 224 × 224 pixels, pretrained on ImageNet",
        {"cifar10": 50_000, "cifar100": 50_000},
        10_000,
        pixels=224,
        pretrained=True,
        heads=("_dropout", "_mlp"),
        names={
            "vit_b_16": "vit_base", "vit_b_16_in21k": "vit_base",
            "resnet152": "resnet152v2", "resnetv2_152": "resnet152v2",
        },
        recipes={"teacher": _AUTHORS_TEACHER, "ce": _AUTHORS_CE, "kd": _AUTHORS_KD},
        sources=("authors'",),
        pure=True,
        others=(
            "ours is the last epoch, the authors' code keeps the one that is best on the test split",
            "ours normalises images, the authors' code gives networks other than ViT the values from 0 to 255",
        ),
    ),
    "scratch224": Protocol(
        "224 × 224 pixels, trained from scratch",
        {"imagenet": 1_281_167},
        50_000,
        pixels=224,
        recipes={method: _IMAGENET | {"epochs": n} for method, n in (("teacher", 90), ("ce", 90), ("kd", 100))},
        sources=("torchvision", "Huang et al. 2022"),
    ),
}  # fmt: skip


def setting_of(own: Mapping[str, Any]) -> str | None:
    """Return the published setting that a run of ours belongs to, by its data set and whether images are cropped."""
    enlarged = bool(own.get("recipe_crop"))
    for name, protocol in PROTOCOLS.items():
        if own["data"] in protocol.train and enlarged == (protocol.pixels is not None):
            return name
    return None


def published_name(model: str | None, protocol: Protocol) -> str | None:
    """Return the name that a network of ours has in published tables."""
    if model is None or protocol.pixels is None:
        return model
    name = _parts(model)[0].removesuffix("_imagenet")
    return protocol.names.get(name, name)


def role_of(method: str) -> str:
    """Return the role that a published model has in ours."""
    return "teacher" if method == "teacher" else "student"


def known_differences(number: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Return the known differences between our runs and the published ones, one sentence each.

    Args:
        number: a published number, of a setting in ``PROTOCOLS``.
        own: our runs of one setting: the columns of the tables and the number ``n`` of runs.
    """
    protocol = PROTOCOLS[number["setting"]]
    if own.get("weights"):  # a teacher that is not trained
        return [f"our teacher is not trained: {own['weights']} weights as they are", *_tested(own, protocol)]
    found = [*_images(own, protocol), *_tested(own, protocol), *protocol.others]
    if number["setting"] == "transfer224" and own["n"] > 1:
        found.append("ours is a mean over seeds, theirs one run")
    found += _recipe(number, own, protocol)
    found += _networks(number, own, protocol)
    if number["method"] in ALONE and own["role"] != role_of(number["method"]):
        found.append(f"ours is a {own['role']} of the experiment, trained alone on cross-entropy")
    if own["teacher"] is not None:
        found += _distillation(number, own, protocol)
    return found


def _images(own: Mapping[str, Any], protocol: Protocol) -> list[str]:
    available = protocol.train[own["data"]]
    images = _used(own, "train", available)
    found = [f"ours trained on {images:,} of {available:,} training images"] if images != available else []
    if protocol.pixels and own["recipe_crop"] != protocol.pixels:
        found.append(f"our images are {own['recipe_crop']:g} pixels a side, theirs {protocol.pixels}")
    return found


def _tested(own: Mapping[str, Any], protocol: Protocol) -> list[str]:
    tested = _used(own, "test", protocol.test)
    return [f"ours is tested on {tested:,} of {protocol.test:,} test images"] if tested != protocol.test else []


def _used(own: Mapping[str, Any], split: str, available: int) -> int:
    """Return how many images of a split we use: those not held out for validation, or the limit."""
    # We hold out training images; of ImageNet images of its validation split, which is our test split.
    if split == ("test" if own["data"] == "imagenet" else "train"):
        validation = own.get("data_validation") or 0
        available -= round(validation * available) if validation < 1 else int(validation)  # below 1 it is a share
    return min(available, int(own.get(f"data_limit_{split}") or available))


def _recipe(number: Mapping[str, Any], own: Mapping[str, Any], protocol: Protocol) -> list[str]:
    """Return how the recipe differs in the fields that are known of both."""
    if not number["source"].startswith(protocol.sources):
        return ["by which recipe theirs was trained is not known"]
    known = protocol.recipes.get(number["method"].removesuffix("_mixup"), {})
    ours = {name: own.get(f"recipe_{name}") for name in known}
    if "head_epochs" in known and own.get("recipe_epochs"):  # without such a phase there is no such column
        ours["head_epochs"] = ours["head_epochs"] or 0
    differing = [name for name, value in known.items() if ours[name] is not None and ours[name] != value]
    fields = ", ".join(f"{_RECIPE[name]} {_text(ours[name])} (theirs {_text(known[name])})" for name in differing)
    distilled = protocol.recipes.get("kd", {})
    if number["method"] == "ce" and known["schedule"] != ours["schedule"] == distilled.get("schedule"):
        return [f"ours has the recipe of our distilled students: {fields}"]
    found = [f"our recipe: {fields}"] if fields else []
    if number["setting"] == "transfer224" and known.get("schedule") == ours.get("schedule") == "plateau":
        found.append("our learning rate follows the loss on the validation split, theirs that on the test split")
    return found


def _networks(number: Mapping[str, Any], own: Mapping[str, Any], protocol: Protocol) -> list[str]:
    pretrained = own.get("recipe_pretrained")
    found = []
    if number["setting"] == "transfer224":
        weights = " with torchvision's weights" if pretrained else ""
        found.append(f"ours is PyTorch{weights}, theirs TensorFlow")
    if pretrained is not None and bool(pretrained) != protocol.pretrained:
        weights = ("fresh weights", "published ImageNet weights")
        found.append(f"ours starts from {weights[bool(pretrained)]}, theirs from {weights[protocol.pretrained]}")
    if own.get("pretraining_mixup"):
        found.append("our first weights were pretrained with mixup")
    if own.get("teacher_pretraining_mixup"):
        found.append("the first weights of our teacher were pretrained with mixup")
    if protocol.pixels is None:
        return found
    models = {"teacher": own["teacher"], "student": own["model"]}
    if own["teacher"] is None:
        models = {role_of(number["method"]): own["model"]}
    for role, model in models.items():
        trunk, ending = _parts(model)
        if number["setting"] == "transfer224" and trunk == "resnet152_imagenet":
            found.append("ResNet-152 is torchvision's here, Keras' pre-activation ResNet152V2 there")
        theirs = protocol.heads[role == "student"]
        if ending != theirs:
            found.append(f"the head of our {role} is {HEADS[ending]}, of theirs {HEADS[theirs]}")
    return found


def _distillation(number: Mapping[str, Any], own: Mapping[str, Any], protocol: Protocol) -> list[str]:
    found = []
    more = [name for name in ("ce_weight", *more_weights(own)) if own[name]]
    if more:
        terms = [f"{own[name]:g} {name.removesuffix('_weight').upper()}" for name in ("kd_weight", *more)]
        found.append(f"our loss: {' + '.join(terms)}")
    elif not protocol.pure:
        found.append("our loss is KL(teacher ‖ student)·T² alone, without cross-entropy")
    if protocol.pure:
        found.append("our loss is computed in single precision, theirs in half precision")
    if number["temperature"] is None:
        found.append("the published temperature is not known")
    elif number["temperature"] != own["temperature"]:
        found.append(f"ours at T = {own['temperature']}, theirs at T = {number['temperature']}")
    if own["method"].endswith("mixup") and not (protocol.pure and own["alpha"] == 1):
        found.append(f"ours draws λ for each sample, from Beta({own['alpha']:g}, {own['alpha']:g})")
    given = own.get("teacher_weights")
    weights = f"has given weights ({given}), one for all seeds"
    found.append(f"our teacher {weights if given else 'is our own, one for each seed'}")
    return found


def _parts(model: str) -> tuple[str, str]:
    """Return the name of a network for photographs without its head, and the ending that names the head."""
    for ending in filter(model.endswith, filter(None, HEADS)):
        if model.removesuffix(ending) in TRUNKS:
            return model.removesuffix(ending), ending
    return model, ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
