"""VMamba: visual state space model with four scan directions.

Paper: `VMamba: Visual State Space Model` - https://arxiv.org/abs/2401.10166

Written for this project; names and sizes follow the variants that mamba-clip pretrained with CLIP
(https://github.com/raytrun/mamba-clip): T220 with a gate, S and B without.

Symbols, after the Mamba paper:
    b: batch          h, w: height and width of the feature map      l: h * w positions
    d: inner width (ssm_ratio * channels)    k: 4 scan directions
    n: state size     r: rank of the step-size projection
    A, B, C, D, Delta (dt): the parameters of the state space model
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import ClassifierHead, DropPath, Mlp, trunc_normal_
from timm.models import (
    build_model_with_cfg,
    checkpoint_seq,
    generate_default_cfgs,
    register_model,
)
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from clip_mamba.models.layers import (
    Downsample,
    SelectiveScan,
    conv2d_nhwc,
    drop_path_rates,
    mamba_dt_bias,
    s4d_real_log,
)
from clip_mamba.ops.scan_paths import PATHS, fold_paths, unfold_paths


class SS2D(nn.Module):
    """Two-dimensional selective scan (VMamba, section 4.2)."""

    def __init__(
        self, dim: int, d_state: int = 1, ssm_ratio: float = 2.0, gate: bool = False
    ) -> None:
        """Build the mixer.

        Args:
            dim: Channels in and out.
            d_state: State size n.
            ssm_ratio: Inner width d over ``dim``.
            gate: Multiply the output by SiLU(z), as in T220.
        """
        super().__init__()
        inner, rank, k = int(ssm_ratio * dim), math.ceil(dim / 16), PATHS
        self.d_state, self.dt_rank, self.gate = d_state, rank, gate
        self.in_proj = nn.Linear(dim, inner * (2 if gate else 1), bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.x_proj_weight = nn.Parameter(torch.empty(k, rank + 2 * d_state, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(k, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(k, inner))
        self.A_logs = nn.Parameter(torch.empty(k * inner, d_state))
        self.Ds = nn.Parameter(torch.empty(k * inner))
        self.selective_scan = SelectiveScan()
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.reset_scan_parameters()

    @torch.no_grad()
    def reset_scan_parameters(self) -> None:
        """Initialise the parameters of the scan as Mamba does."""
        bound = self.x_proj_weight.shape[-1] ** -0.5
        nn.init.uniform_(self.x_proj_weight, -bound, bound)
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_projs_weight, -bound, bound)
        self.dt_projs_bias.copy_(mamba_dt_bias(tuple(self.dt_projs_bias.shape)))
        self.A_logs.copy_(s4d_real_log(*self.A_logs.shape))
        nn.init.ones_(self.Ds)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions.

        Args:
            x: Feature map, (b, h, w, dim).

        Returns:
            Feature map, (b, h, w, dim).
        """
        x, z = self.in_proj(x), None  # (b, h, w, d) or (b, h, w, 2d)
        if self.gate:
            x, z = x.chunk(2, dim=-1)
        x = F.silu(conv2d_nhwc(x, self.conv2d))
        y = self.out_norm(self.scan(x).to(self.out_norm.weight.dtype)).to(x.dtype)
        if z is not None:
            y = y * F.silu(z)
        return self.out_proj(y)

    def scan(self, x: Tensor) -> Tensor:
        """Scan in four directions and add, in float32 whatever autocast says.

        Args:
            x: Feature map, (b, h, w, d).

        Returns:
            Feature map, (b, h, w, d), float32 (or float64 for float64 inputs).
        """
        height, width = x.shape[1:3]
        dtype = torch.promote_types(self.A_logs.dtype, torch.float32)
        xs = unfold_paths(x.to(dtype), shared=True)  # (b, k, d, l)
        # dt, B and C depend on one position only: project once for all four directions, then
        # reorder the few channels of each.
        projected = F.linear(x, self.x_proj_weight.flatten(0, 1))  # (b, h, w, k * (r + 2n))
        projected = unfold_paths(projected.to(dtype), shared=False)  # (b, k, r + 2n, l)
        dt, B, C = projected.split((self.dt_rank, self.d_state, self.d_state), dim=2)
        dt = torch.matmul(self.dt_projs_weight.to(dtype), dt)  # (b, k, d, l)
        y = self.selective_scan(
            xs.flatten(1, 2),
            dt.flatten(1, 2),
            self.A_logs,
            B,
            C,
            self.Ds,
            self.dt_projs_bias.flatten(),
        )
        return fold_paths(y.unflatten(1, (PATHS, -1)), height, width, shared=True)


class PatchEmbed(nn.Module):
    """Quarter the resolution with two overlapping convolutions."""

    def __init__(self, in_chans: int, dim: int) -> None:
        """Build the stem.

        Args:
            in_chans: Image channels.
            dim: Output channels.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, dim // 2, 3, stride=2, padding=1)
        self.norm1 = nn.LayerNorm(dim // 2)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed patches.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Feature map, (b, h, w, dim).
        """
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.act(self.norm1(self.conv1(x).permute(0, 2, 3, 1)))
        return self.norm2(conv2d_nhwc(x, self.conv2))


class VSSBlock(nn.Module):
    """Pre-norm residual block: SS2D, then MLP."""

    def __init__(
        self,
        dim: int,
        d_state: int = 1,
        ssm_ratio: float = 2.0,
        mlp_ratio: float = 4.0,
        gate: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        """Build the block.

        Args:
            dim: Channels.
            d_state: State size.
            ssm_ratio: Inner width of SS2D over ``dim``.
            mlp_ratio: Hidden width of the MLP over ``dim``.
            gate: Gated SS2D.
            drop_path: Stochastic depth rate.
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = SS2D(dim, d_state, ssm_ratio, gate)
        self.drop_path1 = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path2 = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Feature map, (b, h, w, dim).

        Returns:
            Feature map, (b, h, w, dim).
        """
        x = x + self.drop_path1(self.mixer(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class VMambaStage(nn.Module):
    """Downsampling (except in the first stage) and blocks at one resolution."""

    def __init__(
        self, in_chs: int, dim: int, drop_paths: list[float], downsample: bool, **block: Any
    ) -> None:
        """Build the stage.

        Args:
            in_chs: Input channels.
            dim: Channels of the stage.
            drop_paths: Stochastic depth rate of each block.
            downsample: Halve the resolution first.
            **block: Arguments of :class:`VSSBlock`.
        """
        super().__init__()
        self.grad_checkpointing = False
        self.downsample = Downsample(in_chs, dim) if downsample else nn.Identity()
        self.blocks = nn.Sequential(*(VSSBlock(dim, drop_path=p, **block) for p in drop_paths))

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass, to save memory.

        Args:
            enable: On or off.
        """
        self.grad_checkpointing = enable

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stage.

        Args:
            x: Feature map, (b, h, w, in_chs).

        Returns:
            Feature map, (b, h', w', dim).
        """
        x = self.downsample(x)
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return checkpoint_seq(self.blocks, x)
        return self.blocks(x)


class VMamba(nn.Module):
    """VMamba image classifier or feature extractor; any input resolution."""

    output_fmt = "NHWC"

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        depths: tuple[int, ...] = (2, 2, 4, 2),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        d_state: int = 1,
        ssm_ratio: float = 2.0,
        mlp_ratio: float = 4.0,
        gate: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        """Build the model.

        Args:
            in_chans: Image channels.
            num_classes: Classes; 0 for features.
            global_pool: ``avg``, or an empty string for none.
            depths: Blocks per stage.
            dims: Channels per stage.
            d_state: State size.
            ssm_ratio: Inner width of SS2D over the channels.
            mlp_ratio: Hidden width of the MLP over the channels.
            gate: Gated SS2D, as in T220.
            drop_rate: Dropout before the classifier.
            drop_path_rate: Stochastic depth rate of the last block; earlier ones grow linearly.
        """
        super().__init__()
        self.num_classes, self.global_pool = num_classes, global_pool
        self.num_features = self.head_hidden_size = dims[-1]
        block = {"d_state": d_state, "ssm_ratio": ssm_ratio, "mlp_ratio": mlp_ratio, "gate": gate}
        rates = drop_path_rates(drop_path_rate, sum(depths))
        self.patch_embed = PatchEmbed(in_chans, dims[0])
        self.stages = nn.Sequential()
        self.feature_info = []
        for i, dim in enumerate(dims):
            paths = rates[sum(depths[:i]) : sum(depths[: i + 1])]
            stage = VMambaStage(dims[max(i - 1, 0)], dim, paths, downsample=i > 0, **block)
            self.stages.append(stage)
            self.feature_info.append({
                "num_chs": dim,
                "reduction": 4 * 2**i,
                "module": f"stages.{i}",
            })
        self.norm: nn.Module = nn.LayerNorm(dims[-1])
        self.head = ClassifierHead(
            dims[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate, input_fmt="NHWC"
        )
        self.apply(_init_weights)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Name what Mamba exempts from weight decay: A, D and the bias of the step size.

        Returns:
            Parameter names.
        """
        exempt = ("A_logs", "Ds", "dt_projs_bias")
        return {name for name, _ in self.named_parameters() if name.endswith(exempt)}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Group parameters by depth, for layer-wise learning rates and freezing.

        Args:
            coarse: One group per stage rather than per block.

        Returns:
            Patterns as timm wants them.
        """
        per_block = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^norm", (99999,)),
        ]
        return {"stem": r"^patch_embed", "blocks": r"^stages\.(\d+)" if coarse else per_block}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass, to save memory.

        Args:
            enable: On or off.
        """
        for stage in cast("list[VMambaStage]", list(self.stages)):
            stage.set_grad_checkpointing(enable)

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the last linear layer (an identity without classes)."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier.

        Args:
            num_classes: Classes; 0 for features.
            global_pool: New pooling; unchanged if None.
        """
        self.num_classes = num_classes
        if global_pool is not None:
            self.global_pool = global_pool
        self.head.reset(num_classes, global_pool)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NHWC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the maps after the chosen stages.

        Args:
            x: Images, (b, channels, height, width).
            indices: The last n stages if an int, all if None, else these stages.
            norm: Apply the final norm to the last stage's map.
            stop_early: Stop after the last stage that was asked for.
            output_fmt: Layout of the returned maps.
            intermediates_only: Leave out the final features.

        Returns:
            The maps, after the final features unless left out.
        """
        take, last = feature_take_indices(len(self.stages), indices)
        maps = []
        x = self.patch_embed(x)
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = stage(x)
            if i in take:
                final = norm and i == len(self.stages) - 1
                y = self.norm(x) if final else x
                maps.append(y.permute(0, 3, 1, 2).contiguous() if output_fmt == "NCHW" else y)
        return maps if intermediates_only else (self.norm(x), maps)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what the chosen stages do not need.

        Args:
            indices: As in :meth:`forward_intermediates`.
            prune_norm: Drop the final norm.
            prune_head: Drop the classifier.

        Returns:
            The stages that are kept as outputs.
        """
        take, last = feature_take_indices(len(self.stages), indices)
        self.stages = self.stages[: last + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0, "")
        return take

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the normalised map of the last stage.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Feature map, (b, h, w, d).
        """
        return self.norm(self.stages(self.patch_embed(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify.

        Args:
            x: Feature map, (b, h, w, d).
            pre_logits: Stop after pooling.

        Returns:
            Logits, or features.
        """
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, or embed them when there is no classifier.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Logits, or features.
        """
        return self.forward_head(self.forward_features(x))


def _init_weights(module: nn.Module) -> None:
    """Initialise a linear layer; the scan's own parameters are not linear layers and stay."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _cfg(size: int = 224, **kwargs: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, size, size),
        "pool_size": (size // 32, size // 32),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.conv1",
        "classifier": "head.fc",
        "license": "apache-2.0",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({
    "vmamba_tiny220.untrained": _cfg(),
    "vmamba_small.untrained": _cfg(),
    "vmamba_base.untrained": _cfg(),
    "vmamba_pico.untrained": _cfg(32, pool_size=(2, 2)),
    "vmamba_nano.untrained": _cfg(32, pool_size=(2, 2)),
    "vmamba_micro.untrained": _cfg(32, pool_size=(2, 2)),
    "test_vmamba.untrained": _cfg(16, pool_size=(2, 2)),
})


def _create_vmamba(variant: str, pretrained: bool = False, **kwargs: Any) -> VMamba:
    return build_model_with_cfg(
        VMamba,
        variant,
        pretrained,
        feature_cfg={
            "out_indices": tuple(range(len(kwargs["dims"]))),
            "feature_cls": "getter",
        },
        **kwargs,
    )


@register_model
def vmamba_tiny220(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-T220: gated, 31.7 M parameters."""
    args = {"depths": (2, 2, 4, 2), "dims": (96, 192, 384, 768), "gate": True}
    return _create_vmamba("vmamba_tiny220", pretrained, **{**args, **kwargs})


@register_model
def vmamba_small(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-S: 49.4 M parameters."""
    args = {"depths": (2, 2, 15, 2), "dims": (96, 192, 384, 768)}
    return _create_vmamba("vmamba_small", pretrained, **{**args, **kwargs})


@register_model
def vmamba_base(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-B: 87.5 M parameters."""
    args = {"depths": (2, 2, 15, 2), "dims": (128, 256, 512, 1024)}
    return _create_vmamba("vmamba_base", pretrained, **{**args, **kwargs})


@register_model
def vmamba_pico(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-Pico for 32 px: less than a quarter of ViT-Micro."""
    args = {"depths": (2, 1, 1), "dims": (16, 32, 64)}
    return _create_vmamba("vmamba_pico", pretrained, **{**args, **kwargs})


@register_model
def vmamba_nano(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-Nano for 32 px: three stages, no gate (as S and B)."""
    args = {"depths": (2, 2, 1), "dims": (24, 48, 96)}
    return _create_vmamba("vmamba_nano", pretrained, **{**args, **kwargs})


@register_model
def vmamba_micro(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return VMamba-Micro for 32 px: three stages, no gate (as S and B)."""
    args = {"depths": (2, 2, 1), "dims": (32, 64, 128)}
    return _create_vmamba("vmamba_micro", pretrained, **{**args, **kwargs})


@register_model
def test_vmamba(pretrained: bool = False, **kwargs: Any) -> VMamba:
    """Return a tiny gated VMamba for tests."""
    args = {"depths": (1, 1), "dims": (16, 32), "gate": True}
    return _create_vmamba("test_vmamba", pretrained, **{**args, **kwargs})
