"""Named subsets of a CLIP model's parameters, for block-restricted Hessians."""

from __future__ import annotations

import difflib
import re

from torch import Tensor, nn

#: Parameters that only a selective scan has: transition, skip, and step size.
SCAN_WORDS = ("A_log", "A_logs", "Ds", "D", "dt_proj", "dt_projs_weight", "dt_projs_bias")
_STAGE = re.compile(r"^visual\.(?:trunk\.)?(?:stages|layers|blocks|block)\.?(\d+)\b")


def blocks(model: nn.Module) -> dict[str, list[Tensor]]:
    """Return the model's parameters by block; one parameter may be in several.

    Args:
        model: A CLIP model built by open_clip.

    Returns:
        ``all``, ``image``, ``text`` (with the logit scale in neither), ``scan`` and
        ``stage-0``... of the image tower; blocks without parameters are left out.
    """
    found: dict[str, list[Tensor]] = {"all": [], "image": [], "text": [], "scan": []}
    for name, parameter in model.named_parameters():
        for block in _blocks_of(name):
            found.setdefault(block, []).append(parameter)
    return {block: params for block, params in found.items() if params}


def block_parameters(model: nn.Module, block: str) -> list[Tensor]:
    """Return the parameters of one block.

    Args:
        model: A CLIP model built by open_clip.
        block: A key of :func:`blocks`.

    Returns:
        Its tensors.

    Raises:
        ValueError: If the model has no such block.
    """
    known = blocks(model)
    if block not in known:
        near = difflib.get_close_matches(block, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"the model has no block {block!r}; it has {sorted(known)}.{hint}")
    return known[block]


def _blocks_of(name: str) -> list[str]:
    found = ["all"]
    if name.startswith("visual."):
        found.append("image")
    elif not name.startswith(("logit_scale", "logit_bias")):
        found.append("text")
    if set(name.split(".")) & set(SCAN_WORDS):
        found.append("scan")
    stage = _STAGE.match(name)
    if stage:
        found.append(f"stage-{stage[1]}")
    return found
