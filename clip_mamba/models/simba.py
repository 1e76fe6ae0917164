"""SiMBA: a four-stage pyramid whose mixer is one causal Mamba scan over the image's rows.

Paper: `SiMBA: Simplified Mamba-Based Architecture for Vision and Multivariate Time series` -
https://arxiv.org/abs/2403.15360

Written for this project; names and sizes follow the variants that mamba-clip pretrained with CLIP
(https://github.com/raytrun/mamba-clip). There the channel mixer is a convolutional MLP, not the
paper's EinFFT, and positions enter through the convolutions only.

Symbols, after the Mamba paper:
    b: batch          h, w: height and width of the feature map      l: h * w positions
    d: inner width (expand * channels)       n: state size           r: rank of the step size
    A, B, C, D, Delta (dt): the parameters of the state space model
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, Mlp, trunc_normal_
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
    causal_conv1d,
    conv2d_nhwc,
    drop_path_rates,
    mamba_dt_bias,
    s4d_real_log,
)

Init = Literal["mamba", "released"]


class Mamba(nn.Module):
    """Mamba mixer (Gu & Dao 2023, figure 3): one causal scan."""

    def __init__(self, dim: int, d_state: int = 64, d_conv: int = 4, expand: int = 2) -> None:
        """Build the mixer.

        Args:
            dim: Channels in and out.
            d_state: State size n.
            d_conv: Reach of the causal convolution.
            expand: Inner width d over ``dim``.
        """
        super().__init__()
        inner, self.d_state, self.dt_rank = expand * dim, d_state, math.ceil(dim / 16)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner)
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(s4d_real_log(inner, d_state))
        self.D = nn.Parameter(torch.ones(inner))
        self.selective_scan = SelectiveScan()
        self.out_proj = nn.Linear(inner, dim, bias=False)

    @torch.no_grad()
    def reset_step_size(self, init: Init) -> None:
        """Initialise the projection to the step size.

        Args:
            init: ``mamba``: steps log-uniform in [0.001, 0.1], as Mamba has it. ``released``: what
                the blanket initialisation of the released code leaves, a weight near zero and no
                bias, so that every step starts at softplus(0) = 0.69.
        """
        if init == "released":
            trunc_normal_(self.dt_proj.weight, std=0.02)
            nn.init.zeros_(self.dt_proj.bias)
        else:
            bound = self.dt_rank**-0.5
            nn.init.uniform_(self.dt_proj.weight, -bound, bound)
            self.dt_proj.bias.copy_(mamba_dt_bias(tuple(self.dt_proj.bias.shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions causally; the scan runs in float32 whatever autocast says.

        Args:
            x: Sequence, (b, l, dim).

        Returns:
            Sequence, (b, l, dim).
        """
        x, z = self.in_proj(x).chunk(2, dim=-1)  # (b, l, d) each
        x = F.silu(causal_conv1d(x, self.conv1d))
        dt, B, C = self.x_proj(x).split((self.dt_rank, self.d_state, self.d_state), dim=-1)
        dt = F.linear(dt, self.dt_proj.weight)  # (b, l, d); the scan adds the bias
        y = self.selective_scan(
            x.transpose(1, 2),  # (b, d, l)
            dt.transpose(1, 2),
            self.A_log,
            B.transpose(1, 2).unsqueeze(1),  # (b, 1, n, l)
            C.transpose(1, 2).unsqueeze(1),
            self.D,
            self.dt_proj.bias,
        )
        return self.out_proj(y.transpose(1, 2).to(z.dtype) * F.silu(z))


class ConvMlp(nn.Module):
    """Linear, depthwise convolution 3x3, GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        """Build the MLP.

        Args:
            dim: Channels in and out.
            hidden: Hidden width.
        """
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix channels.

        Args:
            x: Feature map, (b, h, w, dim).

        Returns:
            Feature map, (b, h, w, dim).
        """
        return self.fc2(self.act(conv2d_nhwc(self.fc1(x), self.dwconv)))


class SimbaBlock(nn.Module):
    """Pre-norm residual block: Mamba over the rows, then the convolutional MLP."""

    def __init__(
        self, dim: int, d_state: int = 64, mlp_ratio: float = 4.0, drop_path: float = 0.0
    ) -> None:
        """Build the block.

        Args:
            dim: Channels.
            d_state: State size.
            mlp_ratio: Hidden width of the MLP over ``dim``.
            drop_path: Stochastic depth rate.
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)  # eps 1e-5, unlike the other norms of the block
        self.mixer = Mamba(dim, d_state)
        self.drop_path1 = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = ConvMlp(dim, int(dim * mlp_ratio))
        self.drop_path2 = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Feature map, (b, h, w, dim).

        Returns:
            Feature map, (b, h, w, dim).
        """
        mixed = self.mixer(self.norm1(x).flatten(1, 2)).view_as(x)
        x = x + self.drop_path1(mixed)
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class ClassBlock(nn.Module):
    """The block after the last stage; it sees the class token alone, a sequence of length 1."""

    def __init__(self, dim: int, d_state: int = 64, mlp_ratio: float = 4.0) -> None:
        """Build the block.

        Args:
            dim: Channels.
            d_state: State size.
            mlp_ratio: Hidden width of the MLP over ``dim``.
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)  # eps 1e-5
        self.mixer = Mamba(dim, d_state)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Class token, (b, 1, dim).

        Returns:
            Class token, (b, 1, dim).
        """
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Stem(nn.Module):
    """Quarter the resolution: three convolutions with BatchNorm and ReLU, then a strided one."""

    def __init__(self, in_chans: int, hidden: int, dim: int) -> None:
        """Build the stem.

        Args:
            in_chans: Image channels.
            hidden: Channels of the first three convolutions.
            dim: Output channels.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for chans, kernel, stride in ((in_chans, 7, 2), (hidden, 3, 1), (hidden, 3, 1)):
            layers += [
                nn.Conv2d(chans, hidden, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU(inplace=True),
            ]
        self.conv = nn.Sequential(*layers)
        self.down = Downsample(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed patches.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Feature map, (b, h, w, dim).
        """
        x = self.conv(x.contiguous(memory_format=torch.channels_last))
        return self.down(x.permute(0, 2, 3, 1))


class SimbaStage(nn.Module):
    """Downsampling, blocks and (except in the last stage) a norm."""

    def __init__(
        self,
        downsample: nn.Module,
        dim: int,
        drop_paths: list[float],
        d_state: int,
        mlp_ratio: float,
        norm: bool,
    ) -> None:
        """Build the stage.

        Args:
            downsample: What brings the input to ``dim`` channels.
            dim: Channels of the stage.
            drop_paths: Stochastic depth rate of each block.
            d_state: State size.
            mlp_ratio: Hidden width of the MLPs over ``dim``.
            norm: End with a norm.
        """
        super().__init__()
        self.grad_checkpointing = False
        self.downsample = downsample
        self.blocks = nn.Sequential(*(SimbaBlock(dim, d_state, mlp_ratio, p) for p in drop_paths))
        self.norm = nn.LayerNorm(dim, eps=1e-6) if norm else nn.Identity()

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
            x: Feature map, (b, h, w, in_chs), or images for the first stage.

        Returns:
            Feature map, (b, h', w', dim).
        """
        x = self.downsample(x)
        if self.grad_checkpointing and not torch.jit.is_scripting():
            x = checkpoint_seq(self.blocks, x)
        else:
            x = self.blocks(x)
        return self.norm(x)


class Simba(nn.Module):
    """SiMBA image classifier or feature extractor; any input resolution."""

    output_fmt = "NHWC"

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "token",
        stem_hidden: int = 32,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        dims: tuple[int, ...] = (64, 128, 320, 448),
        mlp_ratios: tuple[float, ...] = (8, 8, 4, 4),
        d_state: int = 64,
        init: Init = "released",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        """Build the model.

        Args:
            in_chans: Image channels.
            num_classes: Classes; 0 for features.
            global_pool: ``token`` (the class token); there is no other.
            stem_hidden: Channels inside the stem.
            depths: Blocks per stage.
            dims: Channels per stage.
            mlp_ratios: Hidden width of the MLPs over the channels, per stage.
            d_state: State size.
            init: See :meth:`init_weights`.
            drop_rate: Dropout before the classifier.
            drop_path_rate: Stochastic depth rate of the last block; earlier ones grow linearly.
        """
        super().__init__()
        _check_pool(global_pool)
        self.num_classes, self.global_pool = num_classes, global_pool
        self.num_features = self.head_hidden_size = dims[-1]
        rates = drop_path_rates(drop_path_rate, sum(depths))
        self.stages = nn.Sequential()
        self.feature_info = []
        for i, (dim, ratio) in enumerate(zip(dims, mlp_ratios, strict=True)):
            down = Downsample(dims[i - 1], dim) if i else Stem(in_chans, stem_hidden, dim)
            paths = rates[sum(depths[:i]) : sum(depths[: i + 1])]
            stage = SimbaStage(down, dim, paths, d_state, ratio, norm=i < len(dims) - 1)
            self.stages.append(stage)
            self.feature_info.append({
                "num_chs": dim,
                "reduction": 4 * 2**i,
                "module": f"stages.{i}",
            })
        self.class_block: nn.Module = ClassBlock(dims[-1], d_state, mlp_ratios[-1])
        self.norm: nn.Module = nn.LayerNorm(dims[-1], eps=1e-6)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(dims[-1], num_classes) if num_classes else nn.Identity()
        self.init_weights(init)

    @torch.jit.ignore
    def init_weights(self, init: Init = "released") -> None:
        """Initialise every weight.

        The released one is the default because it is the network that the report trained. Mamba's
        own is what its authors advise: it starts with memories of 10 to 1000 positions, the other
        with about one. In one short pair of runs of SiMBA-Nano (150 steps, one
        seed) they did not differ; longer runs were not compared.

        Args:
            init: ``released`` repeats the released code, where every step starts at 0.69; ``mamba``
                keeps Mamba's distribution of step sizes (0.001 to 0.1).

        Raises:
            ValueError: If ``init`` is neither.
        """
        if init not in ("mamba", "released"):
            raise ValueError(f"Unknown init {init!r}. Choose 'mamba' or 'released'.")
        self.apply(_init_weights)
        for module in self.modules():
            if isinstance(module, Mamba):
                module.reset_step_size(init)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Name what Mamba exempts from weight decay: A, D and the bias of the step size.

        Returns:
            Parameter names.
        """
        exempt = ("A_log", "mixer.D", "dt_proj.bias")
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
            (r"^stages\.(\d+)\.norm", (99998,)),
            (r"^class_block|^norm", (99999,)),
        ]
        return {
            "stem": r"^stages\.0\.downsample",
            "blocks": [(r"^stages\.(\d+)", None), (r"^class_block|^norm", (99999,))]
            if coarse
            else per_block,
        }

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass, to save memory.

        Args:
            enable: On or off.
        """
        for stage in cast("list[SimbaStage]", list(self.stages)):
            stage.set_grad_checkpointing(enable)

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the last linear layer (an identity without classes)."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier.

        Args:
            num_classes: Classes; 0 for features.
            global_pool: ``token`` or None.
        """
        if global_pool is not None:
            _check_pool(global_pool)
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

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
            norm: Apply the final norm to the last stage's map (the others have their own).
            stop_early: Stop after the last stage that was asked for.
            output_fmt: Layout of the returned maps.
            intermediates_only: Leave out the final features.

        Returns:
            The maps, after the final features unless left out.
        """
        take, last = feature_take_indices(len(self.stages), indices)
        maps = []
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = stage(x)
            if i in take:
                y = self.norm(x) if norm and i == len(self.stages) - 1 else x
                maps.append(y.permute(0, 3, 1, 2).contiguous() if output_fmt == "NCHW" else y)
        return maps if intermediates_only else (self.class_token(x), maps)

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
            prune_head: Drop the class block and the classifier.

        Returns:
            The stages that are kept as outputs.
        """
        take, last = feature_take_indices(len(self.stages), indices)
        self.stages = self.stages[: last + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.class_block = nn.Identity()
            self.reset_classifier(0)
        return take

    def class_token(self, x: Tensor) -> Tensor:
        """Make the class token: the mean of the map, through its own block and the final norm.

        Args:
            x: Feature map of the last stage, (b, h, w, d).

        Returns:
            Class token, (b, d).
        """
        return self.norm(self.class_block(x.flatten(1, 2).mean(1, keepdim=True))).squeeze(1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the class token.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Class token, (b, d).
        """
        return self.class_token(self.stages(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Classify.

        Args:
            x: Class token, (b, d).
            pre_logits: Leave out the classifier.

        Returns:
            Logits, or features.
        """
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images, or embed them when there is no classifier.

        Args:
            x: Images, (b, channels, height, width).

        Returns:
            Logits, or features.
        """
        return self.forward_head(self.forward_features(x))


def _check_pool(global_pool: str) -> None:
    if global_pool not in ("", "token"):
        raise ValueError(f"SiMBA pools by its class token only; got global_pool={global_pool!r}.")


def _init_weights(module: nn.Module) -> None:
    """Initialise one linear layer or 2-D convolution; Conv1d keeps torch's, as in Mamba."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _cfg(size: int = 224, **kwargs: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, size, size),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stages.0.downsample.conv.0",
        "classifier": "head",
        "license": "apache-2.0",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({
    "simba_small.untrained": _cfg(),
    "simba_base.untrained": _cfg(),
    "simba_large.untrained": _cfg(),
    "simba_nano.untrained": _cfg(32),
    "test_simba.untrained": _cfg(16),
})


def _create_simba(variant: str, pretrained: bool = False, **kwargs: Any) -> Simba:
    return build_model_with_cfg(
        Simba,
        variant,
        pretrained,
        feature_cfg={
            "out_indices": tuple(range(len(kwargs["dims"]))),
            "feature_cls": "getter",
        },
        **kwargs,
    )


@register_model
def simba_small(pretrained: bool = False, **kwargs: Any) -> Simba:
    """Return SiMBA-S: 25.7 M parameters."""
    args = {"depths": (3, 4, 6, 3), "dims": (64, 128, 320, 448), "stem_hidden": 32}
    return _create_simba("simba_small", pretrained, **{**args, **kwargs})


@register_model
def simba_base(pretrained: bool = False, **kwargs: Any) -> Simba:
    """Return SiMBA-B: 39.2 M parameters."""
    args = {"depths": (3, 4, 12, 3), "dims": (64, 128, 320, 512), "stem_hidden": 64}
    return _create_simba("simba_base", pretrained, **{**args, **kwargs})


@register_model
def simba_large(pretrained: bool = False, **kwargs: Any) -> Simba:
    """Return SiMBA-L: 65.7 M parameters."""
    args = {"depths": (3, 6, 18, 3), "dims": (96, 192, 384, 512), "stem_hidden": 64}
    return _create_simba("simba_large", pretrained, **{**args, **kwargs})


@register_model
def simba_nano(pretrained: bool = False, **kwargs: Any) -> Simba:
    """Return SiMBA-Nano for 32 px: two stages, state size 16."""
    args = {
        "depths": (2, 1),
        "dims": (32, 64),
        "mlp_ratios": (8, 4),
        "stem_hidden": 16,
        "d_state": 16,
    }
    return _create_simba("simba_nano", pretrained, **{**args, **kwargs})


@register_model
def test_simba(pretrained: bool = False, **kwargs: Any) -> Simba:
    """Return a tiny SiMBA for tests."""
    args = {
        "depths": (1, 1),
        "dims": (16, 24),
        "mlp_ratios": (4, 2),
        "stem_hidden": 8,
        "d_state": 4,
    }
    return _create_simba("test_simba", pretrained, **{**args, **kwargs})
