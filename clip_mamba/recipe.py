"""The pretraining recipe: every setting named, typed and documented."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from torch import Tensor, nn

from clip_mamba.data.augment import Augmentation

#: What becomes of BatchNorm's statistics in the averaged copy (:class:`clip_mamba.ema.CosineEMA`).
Buffers = Literal["copied", "averaged", "reference"]


@dataclass(frozen=True)
class Recipe:
    """Settings of one pretraining. The defaults are the report's, but see ``ORIGINAL``.

    Attributes:
        batch_size: Pairs a step, over all processes and micro-batches: all are negatives of each
            other.
        accumulation: Micro-batches that a process divides its share into, to save memory; loss
            and gradients stay those of the whole batch.
        epochs: Passes over the corpus.
        lr: Peak learning rate of AdamW.
        min_lr: Learning rate at the end of the cosine.
        warmup_lr: Learning rate at the start of the linear warm-up.
        warmup_epochs: Length of the warm-up.
        betas: AdamW's momenta.
        eps: AdamW's epsilon.
        weight_decay: AdamW's decoupled decay.
        gradient_clip: Largest norm of the gradient; null for no clipping.
        decay: Which tensors decay: ``report`` (all of two or more dimensions not named bias, ln
            or bn, which includes A_log and the embeddings) or ``mamba`` (not those that the model
            lists in ``no_weight_decay``: A_log, D, dt bias, positions).
        ema: Write the averaged weights (else those of the last step).
        ema_start: EMA momentum at the first step; it rises to 1 as a cosine.
        ema_buffers: What becomes of BatchNorm's statistics in the averaged copy, see
            :class:`clip_mamba.ema.CosineEMA`.
        init_logit_scale: The temperature's inverse at the start (CLIP: 1 / 0.07).
        max_logit_scale: Ceiling of the temperature's inverse; the logit scale is clamped to its
            logarithm after each step.
        precision: ``auto`` is bfloat16 autocast where the processor multiplies it natively;
            ``16-mixed`` scales the loss.
        grad_checkpointing: Recompute blocks in the backward to save memory.
        sync_batchnorm: BatchNorm (SiMBA's stem) takes its statistics over all processes.
        drop_path: Stochastic depth of the last block, growing linearly from 0; null for the
            rate of the model's own configuration.
        captions: ``random`` draws one of a picture's captions at each visit (title or
            description), ``first`` always takes the first.
        augmentation: The image augmentation.
    """

    batch_size: int = 4096
    accumulation: int = 1
    epochs: float = 25
    lr: float = 5e-4
    min_lr: float = 1e-5
    warmup_lr: float = 1e-6
    warmup_epochs: float = 1
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.5
    gradient_clip: float | None = None
    decay: Literal["report", "mamba"] = "report"
    ema: bool = True
    ema_start: float = 0.996
    ema_buffers: Buffers = "copied"
    init_logit_scale: float = 1 / 0.07
    max_logit_scale: float = 100.0
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    grad_checkpointing: bool = True
    sync_batchnorm: bool = True
    drop_path: float | None = None
    captions: Literal["random", "first"] = "random"
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def from_config(cls, settings: dict[str, Any]) -> Recipe:
        """Build a recipe from a section of ``config.yaml``.

        Args:
            settings: Names and values; ``augmentation`` is a mapping of its own.

        Returns:
            The recipe.

        """
        values = _tuples(_known(cls, settings, "recipe"))
        if "augmentation" in values:
            values["augmentation"] = Augmentation(
                **_tuples(_known(Augmentation, values["augmentation"], "augmentation"))
            )
        return cls(**values)


#: The report's settings, from its reference code: float16 with loss scaling, and averaged copies
#: whose BatchNorm statistics are those of the first step (by oversight).
ORIGINAL = Recipe(precision="16-mixed", ema_buffers="reference")


def _known(cls: Any, settings: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    # The settings, if the class has a field for each.
    names = [f.name for f in fields(cls)]
    for name in settings:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown {what} setting {name!r}.{hint} Known: {', '.join(names)}.")
    return settings


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    # YAML's lists as tuples, so that a recipe can be compared and cannot be changed.
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def parameter_groups(
    model: nn.Module, weight_decay: float, decay: Literal["report", "mamba"]
) -> list[dict[str, Any]]:
    """Split the trainable parameters into those that decay and those that do not.

    Args:
        model: A CLIP model.
        weight_decay: The decay of the first group.
        decay: The rule, see :class:`Recipe`.

    Returns:
        Two parameter groups for AdamW.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    spared = _listed_as_not_decaying(model) if decay == "mamba" else set()

    def decays(name: str, parameter: Tensor) -> bool:
        marked = any(word in name for word in ("bias", "ln", "bn", "logit_scale"))
        return parameter.ndim >= 2 and not marked and name not in spared

    return [
        {"params": _chosen(named, decays, True), "weight_decay": weight_decay},
        {"params": _chosen(named, decays, False), "weight_decay": 0.0},
    ]


def _chosen(named: Iterable[tuple[str, Tensor]], rule: Any, wanted: bool) -> list[Tensor]:
    return [p for name, p in named if rule(name, p) is wanted]


def _listed_as_not_decaying(model: nn.Module) -> set[str]:
    """Return the full names of what any submodule lists in timm's ``no_weight_decay``."""
    names = {"positional_embedding", "text.positional_embedding"}
    for prefix, module in model.named_modules():
        listed = getattr(module, "no_weight_decay", None)
        if callable(listed):
            names |= {f"{prefix}.{name}".lstrip(".") for name in listed()}
    return names
