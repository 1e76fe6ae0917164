"""Named subsets of a CLIP model's parameters, for block-restricted Hessians."""

from __future__ import annotations

import difflib
import re

from torch import Tensor, nn

#: Parameters of the selective scan: A, D, and the projections to Delta, B and C.
SCAN_WORDS = (
    "A_log", "A_logs", "D", "Ds", "dt_proj", "dt_projs_weight", "dt_projs_bias", "x_proj",
    "x_proj_weight",
)  # fmt: skip
#: What feeds the image tower's first block (SiMBA keeps its stem in its first stage), and what
#: reads its last one: the class token's block, the final norm, the projection.
_STEM = re.compile(
    r"^visual\.(?:trunk\.)?(?:patch_embed|pos_embed|cls_token|class_embedding|positional_embedding"
    r"|conv1|ln_pre|norm_pre|stages\.0\.downsample)\b"
)
_HEAD = re.compile(
    r"^visual\.(?:head\b|proj\b|ln_post\b|trunk\.(?:norm|fc_norm|head|class_block)\b"
    r"|(?:norm|fc_norm|class_block)\b)"
)
_STAGE = re.compile(
    r"^visual\.(?:trunk\.)?(?:stages|layers|blocks|block|transformer\.resblocks)\.?(\d+)\b"
)


def blocks(model: nn.Module) -> dict[str, list[Tensor]]:
    """Return the model's parameters by block; one parameter may be in several.

    Args:
        model: A CLIP model built by open_clip.

    Returns:
        ``all``, ``image``, ``text`` (with the logit scale in neither), ``scan``, and of the image
        tower ``stem``, ``stage-0``... (a ViT's layers) and ``head``, which together are ``image``;
        blocks without parameters are left out.
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
    if _STEM.match(name):
        found.append("stem")
    elif stage := _STAGE.match(name):
        found.append(f"stage-{stage[1]}")
    elif _HEAD.match(name):
        found.append("head")
    return found
