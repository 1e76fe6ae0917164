"""Small vision transformers beside timm's ViT-B/16 and ViT-L/16, for 32 px (and for tests).

The same network as the baselines (class token, learned positions, pre-norm), made by timm itself.
Weights start as Glorot's (timm's ``weight_init="jax"``): timm's default standard deviation of 0.02
suits a width of 768, but at 64 it leaves the blocks near the identity and the start slow.
"""

from __future__ import annotations

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer


def _cfg(size: int) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, size, size),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        "license": "apache-2.0",
    }


default_cfgs = generate_default_cfgs({
    "vit_nano_patch4_32.untrained": _cfg(32),
    "vit_micro_patch4_32.untrained": _cfg(32),
    "test_vit_patch4_16.untrained": _cfg(16),
})


def _create_vit(variant: str, pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    return build_model_with_cfg(
        VisionTransformer,
        variant,
        pretrained,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **kwargs,
    )


@register_model
def vit_nano_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Return ViT-Nano: 0.2 M parameters, patch 4 at 32 px."""
    args: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 4,
        "embed_dim": 64,
        "depth": 4,
        "num_heads": 2,
    }
    args["weight_init"] = "jax"
    return _create_vit("vit_nano_patch4_32", pretrained, **{**args, **kwargs})


@register_model
def vit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Return ViT-Micro: 0.46 M parameters, patch 4 at 32 px."""
    args: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 4,
        "embed_dim": 96,
        "depth": 4,
        "num_heads": 3,
    }
    args["weight_init"] = "jax"
    return _create_vit("vit_micro_patch4_32", pretrained, **{**args, **kwargs})


@register_model
def test_vit_patch4_16(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Return a tiny ViT for tests, patch 4 at 16 px."""
    args = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 1, "num_heads": 2}
    return _create_vit("test_vit_patch4_16", pretrained, **{**args, **kwargs})
