"""The networks for photographs: against torchvision and timm, and their heads."""

import sys
from importlib.util import find_spec

import pytest
import torch
import torchvision
from built_models import TIMM, images, make, need_timm, randomise, timm_name
from torch import nn
from torch.nn import functional as F

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.heads import Dropout, LinearHead, MlpHead
from vicinal.models.registry import ARCHITECTURES, TRUNKS, architecture, input_of

torch.set_num_threads(1)

TORCHVISION = [name for name in TRUNKS if name not in TIMM]


@pytest.fixture
def two_blocks(monkeypatch):
    """Vision Transformers, ours and those of the libraries, with 2 of their 12 blocks, which are all alike."""
    get_model = torchvision.models.get_model

    def shallow(name, **options):
        if name != "vit_b_16":
            return get_model(name, **options)
        return torchvision.models.VisionTransformer(224, 16, 2, 12, 768, 3072, **options)

    monkeypatch.setattr(torchvision.models, "get_model", shallow)
    if find_spec("timm") is not None:
        import timm

        create_model = timm.create_model
        monkeypatch.setattr(
            timm, "create_model", lambda name, **o: create_model(name, **o, **({"depth": 2} if "vit" in name else {}))
        )


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18_imagenet", 64), ("mobilenet_v2_imagenet", 64), ("convnext_tiny", 64), ("vit_b_16", 224)],
)
@pytest.mark.usefixtures("two_blocks")
def test_logits_are_those_of_torchvision_with_the_same_weights(name, size):
    torch.manual_seed(0)
    oracle = randomise(torchvision.models.get_model(name.removesuffix("_imagenet"), num_classes=1000))
    nn.init.normal_(last_layer(oracle).weight)  # a Vision Transformer's is 0
    model = make(name, num_classes=1000).double().eval()
    load(model, oracle.state_dict())
    x = images(1, size=size).double()
    with torch.no_grad():
        expected = oracle(x)
        assert expected.std() > 0.01
        assert torch.equal(model(x), expected)


def load(model, state):
    missing, unknown = model.load_state_dict(state, strict=False)
    assert all(name.endswith("dropout.count") for name in missing)
    assert not unknown


def last_layer(network):
    return [module for module in network.modules() if type(module) is nn.Linear][-1]


@pytest.mark.parametrize("name", ["resnetv2_50", "resnetv2_50x1_bit"])
def test_logits_are_those_of_timm_with_the_same_weights(name):
    timm = pytest.importorskip("timm", reason="the optional package timm is not installed")
    torch.manual_seed(0)
    oracle = timm.create_model(name, num_classes=100).double()
    model = build_model({"family": "timm_networks", "network": name, "head": "linear", "dropout": 0.3}, 100).double()
    state = oracle.state_dict()
    state["head.fc.weight"] = state["head.fc.weight"].flatten(1)
    load(model, state)
    x = images(2, size=64).double()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), oracle.eval()(x))


@pytest.mark.usefixtures("two_blocks")
def test_the_two_vision_transformers_are_the_same_function():
    need_timm("vit_b_16_in21k")
    torch.manual_seed(0)
    ours = make("vit_b_16_in21k").double().eval()
    nn.init.normal_(ours.head.weight)
    theirs = torchvision.models.get_model("vit_b_16", num_classes=100).double().eval()
    names = {
        "cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "patch_embed.proj": "conv_proj",
        "blocks.": "encoder.layers.encoder_layer_", "norm1": "ln_1", "norm2": "ln_2", "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3", "attn.proj": "self_attention.out_proj", "attn.qkv.": "self_attention.in_proj_",
    }  # fmt: skip
    state = {}
    for name, value in ours.state_dict().items():
        for mine, its in names.items():
            name = name.replace(mine, its)
        name = f"encoder.ln.{name[5:]}" if name.startswith("norm.") else name.replace("head.", "heads.head.")
        state[name] = value
    theirs.load_state_dict(state)
    x = images(1, size=224).double()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.usefixtures("two_blocks")
def test_fresh_weights_of_a_vision_transformer_are_those_that_timm_draws():
    timm = pytest.importorskip("timm", reason="the optional package timm is not installed")
    state = make("vit_b_16_in21k", num_classes=10).state_dict()
    torch.manual_seed(0)
    oracle = timm.create_model("vit_base_patch16_224", num_classes=10).state_dict()
    assert state.keys() == oracle.keys()
    # the paper's heads start at 0
    assert {key for key, value in oracle.items() if not torch.equal(state[key], value)} == {"head.weight"}
    assert not state["head.weight"].any()


@pytest.mark.parametrize("name", ["resnet18_imagenet", "mobilenet_v2_imagenet", "convnext_tiny", "vit_b_16"])
@pytest.mark.usefixtures("two_blocks")
def test_fresh_weights_are_those_that_torchvision_draws(name):
    model = make(name, num_classes=10)
    torch.manual_seed(0)
    oracle = torchvision.models.get_model(name.removesuffix("_imagenet"), num_classes=10).state_dict()
    state = model.state_dict()
    assert {key for key in state if not key.endswith("dropout.count")} == oracle.keys()
    assert all(torch.equal(state[key], value) for key, value in oracle.items())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18_imagenet_mlp", 64),
        ("mobilenet_v2_imagenet_dropout", 64),
        ("convnext_tiny_mlp", 64),
        ("vit_b_16_mlp", 224),
        ("vit_b_16_in21k_mlp", 224),
        ("resnetv2_101x1_bit_mlp", 32),
    ],
)
@pytest.mark.usefixtures("two_blocks")
def test_training_step(name, size):
    need_timm(name)
    model = make(name)
    x = images(size=size)
    logits = model(x)
    assert torch.equal(x, images(size=size))
    assert logits.shape == (2, 100)
    F.cross_entropy(logits, torch.tensor([3, 97])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


def test_the_mlp_head_is_the_authors():
    torch.manual_seed(0)
    head = randomise_1d(MlpHead(32, 10, 0.3).double().eval())
    x = torch.randn(5, 32, dtype=torch.float64)
    hidden, norm, output = head.hidden, head.norm, head.output
    assert hidden.weight.shape == (256, 32)
    units = x @ hidden.weight.T + hidden.bias
    units = (units - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(head(x), units.clamp(min=0) @ output.weight.T + output.bias)
    assert head.dropout.share == 0.3


def randomise_1d(head):
    for tensor in (head.norm.weight, head.norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    nn.init.normal_(head.norm.bias)
    nn.init.normal_(head.norm.running_mean)
    return head


def test_the_linear_head_drops_features_in_training_only():
    layer = nn.Linear(10_000, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    head, ones = LinearHead(layer, 0.3), torch.ones(1, 10_000)
    assert head.eval()(ones).item() == pytest.approx(10_000)
    # what is kept is divided by 0.7: binomial(10,000, 0.7) / 0.7 with sd 65
    dropped = head.train()(ones).item()
    assert abs(dropped - 10_000) < 4 * 65
    assert dropped != pytest.approx(10_000, abs=0.5)


def test_without_dropout_nothing_is_drawn():
    model = make("resnet18_imagenet")
    before = torch.get_rng_state()
    model(images(size=32))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", TRUNKS)
def test_the_heads_of_a_network(name):
    need_timm(name)
    with torch.device("meta"):
        for suffix, kind, dropout in (("", LinearHead, None), ("_dropout", LinearHead, 0.3), ("_mlp", MlpHead, 0.3)):
            model = build_model(architecture(name + suffix), 10)
            head = model.get_submodule(model.head_name)
            assert type(head) is kind
            expected = (0.2 if name.startswith("mobilenet") else 0.0) if dropout is None else dropout
            drops = [
                m
                for m in model.modules()
                if isinstance(m, nn.Dropout | Dropout) and (m.share if isinstance(m, Dropout) else m.p) > 0
            ]
            assert drops == ([head.dropout] if expected else [])  # none elsewhere
            assert not expected or head.dropout.share == expected


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_large"])
def test_no_block_is_left_out_of_a_training_step(name):
    with torch.device("meta"):
        model = build_model(architecture(name), 10)
    depths = [m.p for m in model.modules() if isinstance(m, torchvision.ops.StochasticDepth)]
    assert depths
    assert not any(depths)


@pytest.mark.parametrize("name", TORCHVISION)
def test_inputs_are_those_of_torchvisions_weights(name):
    published = torchvision.models.get_model_weights(name.removesuffix("_imagenet")).IMAGENET1K_V1.transforms()
    for suffix in ("", "_dropout", "_mlp"):
        size, mean, std = input_of(architecture(name + suffix))
        assert [size] == published.crop_size
        assert list(mean) == published.mean
        assert list(std) == published.std


@pytest.mark.parametrize("name", TIMM)
def test_inputs_are_those_of_timm(name):
    timm = pytest.importorskip("timm", reason="the optional package timm is not installed")
    weights = {"resnetv2_152_imagenet": "", "vit_b_16_in21k": ".orig_in21k_ft_in1k"}
    # Big Transfer's are those of ImageNet-21k, at 224
    tag = weights.get(name, ".goog_in21k" if name.endswith("_bit") else ".a1h_in1k")
    default = timm.get_pretrained_cfg(f"{timm_name(name)}{tag}")
    size, mean, std = input_of(architecture(name))
    assert default.input_size == (3, size, size)
    assert (default.mean, default.std) == (mean, std)


def test_networks_for_small_images_have_no_input_of_their_own():
    assert input_of(architecture("mobilenet_v2")) is None
    assert input_of(architecture("resnet20")) is None


def test_names_do_not_hide_those_for_small_images():
    assert architecture("mobilenet_v2") == {"family": "mobilenet_v2", "expansion": 6, "width": 0.5}
    assert len(ARCHITECTURES) == len({str(entry) for entry in ARCHITECTURES.values()})


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", TRUNKS)
def test_other_images_than_rgb_are_refused(name, channels):
    with pytest.raises(VicinalError, match=f"in_channels: {channels}; .* RGB"):
        build_model(architecture(name), 10, channels)


@pytest.mark.parametrize("name", ["resnetv2_152_imagenet", "vit_b_16_in21k"])
def test_without_timm_the_message_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "timm", None)
    message = rf"{timm_name(name)} is a network of the package timm, .*: pip install 'timm>=1\.0'$"
    with pytest.raises(VicinalError, match=message) as error:
        build_model(architecture(name), 10)
    assert "\n" not in str(error.value)
