"""Published weights of timm: their entries, and loading files as timm saves them."""

import pytest
import torch
from built_models import TIMM, images, make, need_timm, timm_name
from torch import nn

from vicinal.models.cost import Costs
from vicinal.models.loading import load_pretrained
from vicinal.models.pretrained import WEIGHTS
from vicinal.models.registry import architecture

torch.set_num_threads(1)

# as in the source of timm 0.6 (resnetv2.py, vision_transformer.py); the repository was rwightman's then
PUBLISHED = {
    "resnetv2_50_imagenet": ("v0.1-rsb-weights/resnetv2_50_a1h-000cdf49.pth", "a1h_in1k", 0.2),
    "resnetv2_101_imagenet": ("v0.1-rsb-weights/resnetv2_101_a1h-5d01f016.pth", "a1h_in1k", 0.2),
    "vit_b_16_in21k": ("v0.1-vitjx/jx_vit_base_p16_224-80ecf9dd.pth", "orig_in21k_ft_in1k", None),
}


def test_the_entries_of_timm_are_those_published():
    assert {name for name in TIMM if name in WEIGHTS} == set(PUBLISHED)
    for name, (path, tag, alpha) in PUBLISHED.items():
        entry = WEIGHTS[name]
        assert entry.url == f"https://github.com/huggingface/pytorch-image-models/releases/download/{path}"
        assert entry.sha256 == entry.url.removesuffix(".pth").rpartition("-")[2]
        assert (entry.pretraining_mixup, entry.mixup_alpha) == (alpha is not None, alpha)
        assert entry.recipe.startswith("mixup 0.2," if alpha else "no mixup:")
        assert tag in entry.recipe


@pytest.mark.parametrize("name", PUBLISHED)
def test_timm_knows_the_weights_of_its_entries(name):
    timm = pytest.importorskip("timm", reason="the optional package timm is not installed")
    path, tag, _ = PUBLISHED[name]
    published = timm.get_pretrained_cfg(f"{timm_name(name)}.{tag}")
    assert published.num_classes == 1000
    if published.url:  # of some it has only the place on the hub
        assert published.url.endswith(f"/pytorch-image-models/releases/download/{path}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_of_timms_files_are_at_least_those_of_their_numbers(name):
    entry, numbers = WEIGHTS[name], Costs().of(architecture(name), 1000, 3, 224, 224).weights_bytes
    assert entry.size - entry.tolerance == numbers
    assert entry.tolerance == numbers // 100


def test_the_size_that_timm_publishes_is_within_its_bounds():
    # docs/models/vision-transformer.md of timm 0.4
    entry = WEIGHTS["vit_b_16_in21k"]
    assert entry.size - entry.tolerance < 346_292_833 < entry.size


@pytest.mark.parametrize(
    "name",
    [name if name == "resnetv2_50_imagenet" else pytest.param(name, marks=pytest.mark.long) for name in PUBLISHED],
)
def test_files_as_timm_saves_them_are_loaded(tmp_path, name):
    need_timm(name)
    import timm

    torch.manual_seed(1)
    oracle = timm.create_model(timm_name(name), num_classes=1000).eval()
    for tensor in oracle.state_dict().values():  # no scale or variance is left at 1, no shift or mean at 0
        if tensor.is_floating_point():
            tensor += 0.02 * torch.randn_like(tensor)
    path, entry = tmp_path / "weights.pth", WEIGHTS[name]
    torch.save(oracle.state_dict(), path, _use_new_zipfile_serialization=False)  # as timm's clean_checkpoint.py
    assert abs(path.stat().st_size - entry.size) < entry.tolerance
    x = images(1, size=224)
    with torch.no_grad():
        logits, features = oracle(x), oracle.forward_head(oracle.forward_features(x), pre_logits=True)
    assert logits.std() > 0.1
    model, other = make(name, num_classes=1000), make(f"{name}_dropout", num_classes=10)
    load_pretrained(model, path, head=True)
    load_pretrained(other, path)
    other.set_submodule(other.head_name, nn.Identity())
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), logits, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(other.eval()(x), features, rtol=1e-6, atol=1e-6)
