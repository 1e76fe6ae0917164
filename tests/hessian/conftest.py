"""CLIP models of each family small enough for a dense Hessian in float64."""

import pytest
import timm
import torch
from open_clip.model import CLIP

import clip_mamba  # noqa: F401  registers the timm names
from clip_mamba.hessian import ClipLoss, HessianOperator

TOWERS = {
    "vit": ("test_vit_patch4_16", {"embed_dim": 6, "depth": 1, "num_heads": 2, "mlp_ratio": 1.0}),
    "vmamba": ("test_vmamba", {"depths": (1,), "dims": (4,), "mlp_ratio": 1.0}),
    "simba": (
        "test_simba",
        {"depths": (1,), "dims": (4,), "mlp_ratios": (1,), "stem_hidden": 2, "d_state": 2},
    ),
}


def tiny_clip(family, dtype=torch.float64):
    torch.manual_seed(0)
    model = CLIP(
        embed_dim=4,
        vision_cfg={"image_size": 16, "patch_size": 16, "width": 8, "layers": 1, "head_width": 8},
        text_cfg={"context_length": 5, "vocab_size": 12, "width": 4, "heads": 1, "layers": 1},
        quick_gelu=True,
    )
    name, options = TOWERS[family]
    model.visual = timm.create_model(name, num_classes=4, **options)
    # open_clip's initial deviations are tiny at these widths: bring the logits to life.
    with torch.no_grad():
        for parameter in model.transformer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        model.token_embedding.weight.normal_()
        # Zero biases after dead ReLUs would put activations exactly on a kink.
        for parameter in model.visual.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def pairs(count, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    texts = torch.randint(1, 11, (count, 5), generator=random)
    texts[:, -1] = 11
    images = torch.randn(count, 3, 16, 16, generator=random, dtype=torch.float64)
    return images.to(dtype), texts


def dense_hessian(loss_fn, params, batch):
    with HessianOperator(loss_fn, params, batch) as operator:
        identity = torch.eye(operator.size, dtype=params[0].dtype)
        return torch.stack([operator.matvec(row) for row in identity])


@pytest.fixture(scope="session", params=list(TOWERS))
def tiny(request):
    """Loss, parameters, batches, dense Hessians of one family."""
    model = tiny_clip(request.param)
    params, loss_fn = list(model.parameters()), ClipLoss(model, l2=0.3)
    batches = [pairs(4, seed=0)]
    return loss_fn, params, batches, [dense_hessian(loss_fn, params, b) for b in batches]
