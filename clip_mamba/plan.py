"""What a pretraining will take on given GPUs, from stated assumptions. Nothing here is measured."""

from __future__ import annotations

from dataclasses import dataclass

from clip_mamba.data.yfcc_counts import CAPTIONED
from clip_mamba.footprint import Footprint, footprint
from clip_mamba.recipe import Recipe


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, from its data sheet."""

    flops: float  #: dense bfloat16 matrix products with float32 sums, a second
    memory: float  #: GB


#: Dense, without sparsity.
GPUS = {
    "a100-40gb": Gpu(312e12, 40),
    "a100": Gpu(312e12, 80),
    "h100": Gpu(989e12, 80),
    "h200": Gpu(989e12, 141),
    "l40s": Gpu(362e12, 48),
}
#: Bytes for each parameter: value, gradient, AdamW's two moments, EMA copy (all float32), the
#: bfloat16 copy that autocast makes, and the bucket in which gradients are exchanged.
BYTES_PER_PARAMETER = 4 + 4 + 8 + 4 + 2 + 4
#: Context, libraries, workspaces and the allocator's losses, in GB.
OVERHEAD = 3.0
#: The backward pass of a product is two products.
BACKWARD = 2


@dataclass(frozen=True)
class Setting:
    """What is to be trained on."""

    gpus: int = 16
    gpu: str = "a100"
    batch: int = Recipe.batch_size
    epochs: float = Recipe.epochs
    pairs: int = CAPTIONED
    mfu: float = 0.3  #: assumed share of the GPU's arithmetic that is put to use
    checkpointing: bool = Recipe.grad_checkpointing


@dataclass(frozen=True)
class Plan:
    """One row of the plan."""

    model: str
    parameters: int
    steps: int
    samples: int
    gflops_per_pair: float  # forward and backward, without recomputation
    exaflops: float  # of the whole run, recomputation included
    pairs_per_gpu: int  # in a step
    memory_gb: float  # of each GPU, without gradient checkpointing
    checkpointed_gb: float  # with it
    fits: str
    pairs_per_second: float
    hours: float
    gpu_hours: float


def plan(model: str, setting: Setting) -> Plan:
    """Work out steps, arithmetic, memory and hours.

    Steps = pairs // batch x epochs. FLOPs of a pair = 2 x multiply-accumulates x (1 forward + 2
    backward [+ 1 recomputed with checkpointing]) + the similarities of its two features with the
    whole batch. Hours = FLOPs / (GPUs x data sheet's FLOP/s x MFU).

    Args:
        model: A name of :func:`clip_mamba.list_models`.
        setting: What is to be trained on.

    Returns:
        The row; a ``ValueError`` says which part of the setting makes no sense.
    """
    _check(setting)
    cost, gpu = footprint(model), GPUS[setting.gpu]
    steps = round(setting.pairs // setting.batch * setting.epochs)
    samples = steps * setting.batch
    similarities = 2 * cost.width * setting.batch
    once = 2 * (cost.macs + similarities)
    passes = 1 + BACKWARD + setting.checkpointing
    total = float(samples) * once * passes
    seconds = total / (setting.gpus * gpu.flops * setting.mfu)
    share = setting.batch // setting.gpus
    memory, less = (_memory(cost, share, setting.batch, c) for c in (False, True))
    return Plan(
        model=model,
        parameters=cost.parameters,
        steps=steps,
        samples=samples,
        gflops_per_pair=once * (1 + BACKWARD) / 1e9,
        exaflops=total / 1e18,
        pairs_per_gpu=share,
        memory_gb=memory,
        checkpointed_gb=less,
        fits=_fits(memory, less, gpu.memory),
        pairs_per_second=samples / seconds,
        hours=seconds / 3600,
        gpu_hours=seconds / 3600 * setting.gpus,
    )


def _memory(cost: Footprint, share: int, batch: int, checkpointing: bool) -> float:
    activations = cost.checkpointed if checkpointing else cost.activations
    # Similarities of both directions in float32: values, probabilities and gradients.
    logits = 2 * 3 * 4 * share * batch
    fixed = cost.parameters * BYTES_PER_PARAMETER
    return (fixed + share * activations + logits) / 1e9 + OVERHEAD


def _fits(memory: float, checkpointed: float, limit: float) -> str:
    if memory <= limit:
        return "yes"
    return "with checkpointing" if checkpointed <= limit else "no: accumulate, or more GPUs"


def _check(setting: Setting) -> None:
    if setting.gpu not in GPUS:
        raise ValueError(f"unknown GPU {setting.gpu!r}; known: {', '.join(GPUS)}")
    if setting.gpus < 1 or setting.batch < 1 or setting.batch % setting.gpus:
        raise ValueError(
            f"a batch of {setting.batch} pairs cannot be shared evenly by {setting.gpus} GPUs"
        )
    if setting.pairs < setting.batch:
        raise ValueError(f"{setting.pairs} pairs are fewer than one batch of {setting.batch}")
    if setting.epochs <= 0:
        raise ValueError("--epochs must be above 0")
    if not 0 < setting.mfu <= 1:
        raise ValueError("--mfu must be above 0 and at most 1")
