"""CLIP models of each family small enough for a dense Hessian in float64."""

import timm
import torch
from open_clip.model import CLIP
from torch.func import functional_call, grad, jacrev
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import clip_mamba  # noqa: F401  registers the timm names
from clip_mamba.hessian.clip_loss import decayed_parameters
from clip_mamba.models.layers import SelectiveScan

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


def dense_hessian(model, params, batch, l2=0.0):
    """Return the Hessian by torch.func, the step-by-step scan and a loss of its own writing."""
    names = {id(p): name for name, p in model.named_parameters()}
    chosen = [names[id(p)] for p in params]
    shapes = [p.shape for p in params]
    decayed = {id(p) for p in decayed_parameters(model, "report")}
    images, texts = batch

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        own = {
            name: part.view(shape) for name, part, shape in zip(chosen, parts, shapes, strict=True)
        }
        u, v, scale = functional_call(model, own, (images, texts))
        similar = scale * u @ v.T
        targets = torch.arange(len(images))
        value = F.cross_entropy(similar, targets) / 2 + F.cross_entropy(similar.T, targets) / 2
        squares = [own[names[i]].square().sum() for i in decayed if names[i] in own]
        return value + l2 / 2 * sum(squares)

    scans = [m for m in model.modules() if isinstance(m, SelectiveScan)]
    with sdpa_kernel(SDPBackend.MATH):
        for scan in scans:
            scan.backend = "reference"
        flat = torch.cat([p.detach().reshape(-1) for p in params])
        found = jacrev(grad(loss), chunk_size=200)(flat)
        for scan in scans:
            scan.backend = "auto"
    return found.detach()
