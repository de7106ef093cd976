"""Loading somebody's weights into a network: by names, or by the order of layers; what does not fit is one line."""

import re
from pathlib import Path

import pytest
import torch
from built_models import images, make, need_timm, randomise
from safetensors.torch import save_file

from vicinal.errors import VicinalError
from vicinal.models.fitting import load_checkpoint

torch.set_num_threads(1)

# What others (RepDistiller, mdistiller) call the layers of ours, by family: patterns and what replaces them.
BLOCKS = [(r"\.conv(\d)\.0\.", r".conv\1."), (r"\.conv(\d)\.1\.", r".bn\1.")]
OF_OTHERS = {
    "resnet20": [
        (r"^stem\.0", "conv1"), (r"^stem\.1", "bn1"), (r"^stages\.(\d)", r"layer\1"), *BLOCKS,
        (r"shortcut", "downsample"),
    ],
    "wrn_16_2": [
        (r"^stem", "conv1"), (r"^bn\.", "bn1."), (r"^stages\.(\d)", r"block\1.layer"), (r"shortcut", "convShortcut"),
    ],
    "vgg8": [(r"^features\.(\d)\.", r"block0.\1."), (r"^features\.(\d+)\.", r"block1.\1."), (r"^fc", "classifier")],
    "mobilenet_v2": [
        (r"^stem", "conv1"), (r"^head", "conv2"), (r"expand\.", "conv."), (r"depthwise\.(\d)", r"conv.3\1"),
        (r"project\.(\d)", r"conv.6\1"), (r"^fc", "classifier.0"),
    ],
}  # fmt: skip


def renamed(name: str, state: dict) -> dict:
    """Return a state dict of ours with the names of others, in its order."""
    found = {}
    for key, value in state.items():
        for pattern, replacement in OF_OTHERS[name]:
            key = re.sub(pattern, replacement, key)
        found[key] = value
    assert len(found) == len(state)
    assert len(found.keys() & state.keys()) * 2 < len(state)
    return found


def trained(name: str, **options) -> torch.nn.Module:
    """Return a network whose tensors all differ from those that a network starts with."""
    return randomise(make(name, seed=1, **options)).float()


def saved(state: dict, path: Path) -> Path:
    torch.save({"model": state}, path)
    return path


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(images())


def refusal(state: dict, path: Path, name: str = "resnet20", **options) -> str:
    with pytest.raises(VicinalError) as error:
        load_checkpoint(make(name, **options), saved(state, path))
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert len(text.removeprefix(f"{path}")) < 300
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("others", [False, True], ids=["our names", "names of others"])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_checkpoint_gives_the_same_answers(tmp_path, name, others):
    teacher, model = trained(name), make(name)
    state = renamed(name, teacher.state_dict()) if others else teacher.state_dict()
    assert load_checkpoint(model, saved(state, tmp_path / "teacher.pth")) == others
    assert torch.equal(logits(model), logits(teacher))


@pytest.mark.parametrize("name", ["resnet18_imagenet_dropout", "mobilenet_v2_imagenet", "resnetv2_50_imagenet"])
def test_networks_for_photographs(tmp_path, name):
    need_timm(name)
    teacher, model = trained(name, num_classes=5), make(name, num_classes=5)
    state = {key: value for key, value in teacher.state_dict().items() if not key.endswith("dropout.count")}
    weight = f"{teacher.head_name}.weight"
    state[weight] = state[weight][..., None, None]  # as timm keeps it
    assert not load_checkpoint(model, saved(state, tmp_path / "teacher.pth"))
    assert torch.equal(logits(model), logits(teacher))


def test_old_names_of_a_vision_transformer_are_understood(tmp_path):
    teacher, model = make("vit_b_16", num_classes=3, seed=1), make("vit_b_16", num_classes=3)
    state = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for key, value in teacher.state_dict().items()
    }
    assert not load_checkpoint(model, saved(state, tmp_path / "teacher.pth"))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in teacher.state_dict().items())
    [old] = [key for key in state if key.endswith("layer_0.mlp.linear_1.weight")]
    state[old] = torch.zeros(2, 2)
    with pytest.raises(VicinalError, match=r"another network \(shapes or types differ\)$"):
        load_checkpoint(model, saved(state, tmp_path / "teacher.pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_are_converted(tmp_path, dtype):
    teacher, model = trained("resnet8"), make("resnet8")
    state = {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in teacher.state_dict().items()
    }
    load_checkpoint(model, saved(state, tmp_path / "teacher.pth"))
    assert torch.allclose(model.stem[0].weight, teacher.stem[0].weight, atol=1e-3)
    assert model.stem[0].weight.dtype == torch.float32


@pytest.mark.parametrize("others", [False, True], ids=["our names", "names of others"])
def test_counters_of_batches_may_be_missing(tmp_path, others):
    teacher, model = trained("resnet20"), make("resnet20")
    state = {key: value for key, value in teacher.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert len(state) < len(teacher.state_dict())
    load_checkpoint(model, saved(renamed("resnet20", state) if others else state, tmp_path / "teacher.pth"))
    assert torch.equal(logits(model), logits(teacher))


# Where the order of tensors could mislead


def test_parameters_of_a_layer_go_by_their_names(tmp_path):
    teacher, model = trained("resnet20"), make("resnet20")
    state = renamed("resnet20", teacher.state_dict())
    layers = dict.fromkeys(key.rpartition(".")[0] for key in state)
    swapped = {
        key: value for layer in layers for key, value in reversed(state.items()) if key.rpartition(".")[0] == layer
    }
    names = [key for key in swapped if key.startswith("bn1.")]
    assert names.index("bn1.bias") < names.index("bn1.weight")
    load_checkpoint(model, saved(swapped, tmp_path / "teacher.pth"))
    assert torch.equal(logits(model), logits(teacher))


def test_equal_layers_in_another_order_are_refused(tmp_path):
    state = renamed("resnet20", trained("resnet20").state_dict())
    first, second = ([key for key in state if key.startswith(f"layer0.0.{kind}.")] for kind in ("conv1", "conv2"))
    swap = {**dict(zip(first, second, strict=True)), **dict(zip(second, first, strict=True))}
    swapped = {swap.get(key, key): state[swap.get(key, key)] for key in state}
    assert swapped.keys() == state.keys()
    text = refusal(swapped, tmp_path / "teacher.pth")
    assert text == "layer0.0.conv1 is no name of ours, and stands out of order: save model.state_dict() as it is"


def test_the_tenth_block_does_not_become_the_second(tmp_path):
    names = list(make("resnet110").state_dict())
    state = {re.sub(r"^stages\.(\d)", r"layer\1", key): value for key, value in make("resnet110").state_dict().items()}
    blocks = sorted({".".join(key.split(".")[:2]) for key in state if key.startswith("layer")})
    assert blocks.index("layer0.10") < blocks.index("layer0.2")
    rest = [key for key in state if not key.startswith("layer")]
    by_text = {key: state[key] for block in blocks for key in state if key.startswith(f"{block}.")}
    shuffled = {key: state[key] for key in rest if key.startswith("stem")} | by_text
    shuffled |= {key: state[key] for key in rest if key.startswith("fc")}
    assert len(shuffled) == len(names)
    text = refusal(shuffled, tmp_path / "teacher.pth", "resnet110")
    assert "layer0.2.conv1.0 is no name of ours, and stands out of order" in text


@pytest.mark.parametrize("name", ["resnet20", "vgg8"])
def test_where_names_are_sorted_the_order_is_lost(tmp_path, name):
    path = tmp_path / "teacher.safetensors"
    state = renamed(name, trained(name).state_dict())
    save_file(state, path)
    with pytest.raises(VicinalError, match=r"is no name of ours, and all names are sorted, as in safetensors files"):
        load_checkpoint(make(name), path)


# What does not fit


@pytest.mark.parametrize("others", [False, True], ids=["our names", "names of others"])
@pytest.mark.parametrize(
    ("made", "line"),
    [
        ({"num_classes": 10}, "weights for 100 classes, the data have 10"),
        ({"in_channels": 1}, "weights for images of 3 channels, the data have 1"),
    ],
    ids=["classes", "channels"],
)
def test_other_data(tmp_path, others, made, line):
    state = trained("resnet20").state_dict()
    assert refusal(renamed("resnet20", state) if others else state, tmp_path / "teacher.pth", **made) == line


def changed(**values) -> dict:
    state = trained("resnet20").state_dict()
    return {**state, **{key.replace("__", "."): value for key, value in values.items()}}


OTHER = "the weights of another network "
WIDE = torch.zeros(4, 16, 3, 3)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (lambda: changed(fc__weight=torch.full((100, 64), torch.nan)), "fc.weight has values that are NaN or infinite"),
        (lambda: changed(fc__bias=torch.full((100,), 1e300, dtype=torch.float64)), "fc.bias has values that are NaN"),
        (lambda: changed(stem__1__running_var=-torch.ones(16)), "stem.1.running_var has negative values"),
        (lambda: changed(fc__weight=torch.ones(100, 64, dtype=torch.int8)), "fc.weight holds whole numbers ("),
        (lambda: changed(fc__weight=torch.tensor(1.0)), OTHER + "(shapes differ: fc.weight () "),
        (lambda: changed(stem__0__weight=torch.tensor(1.0)), OTHER + "(shapes differ: stem.0.we"),
        (lambda: changed(stages__0__0__conv1__0__weight=WIDE), OTHER + "(shapes differ: stages."),
        (lambda: changed(more=torch.ones(1)), OTHER + "(unknown: more)"),
        (lambda: changed(**{"\x1b[31m\nred": torch.ones(1)}), OTHER + r"(unknown: '\x1b[31m\nred'"),
        (lambda: trained("resnet14").state_dict(), OTHER + "(missing: stages.0.2.conv1.0.weight"),
        (lambda: make("wrn_16_1").state_dict(), OTHER + "(29 layers: stem, stages.0.0.bn1, stages."),
        (lambda: renamed("vgg8", make("vgg8").state_dict()), OTHER + "(11 layers: block0.0, blo"),
        (lambda: {"fc.weight": torch.zeros(10, 64)}, "weights for 10 classes, the data have 100"),
        (lambda: {"0" * 5000 + ".a": torch.zeros(1)}, OTHER + "(1 layer: 000"),
    ],
    ids=["NaN", "too large", "variance", "integers", "scalar head", "scalar stem", "wide", "more", "escape codes",
         "fewer blocks", "other family", "others' other family", "one layer", "long name"],
)  # fmt: skip
def test_weights_that_do_not_fit(tmp_path, state, line):
    assert refusal(state(), tmp_path / "teacher.pth").startswith(line)


def test_the_file_s_own_names_are_told(tmp_path):
    state = renamed("resnet20", trained("resnet20").state_dict())
    path = tmp_path / "teacher.pth"
    assert refusal({**state, "bn1.running_var": -torch.ones(16)}, path).startswith(
        "bn1.running_var has negative values"
    )
    text = refusal({**state, "layer0.0.conv1.weight": WIDE}, path)
    assert text.endswith("(shapes differ: layer0.0.conv1.weight (4, 16, 3, 3) for (16, 16, 3, 3))")
    without = {key: value for key, value in state.items() if key != "fc.bias"}
    assert "fc with weight for fc with bias, weight" in refusal(without, path)
