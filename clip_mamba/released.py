"""Names of the originally released checkpoints, translated to ours.

A rule is a pattern and its replacement; the first that matches the whole name holds. A name that
no rule matches is an error, so nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

#: Parameters of the text tower, which has CLIP's names on both sides.
_TEXT = (
    r"(positional_embedding|text_projection|logit_scale|token_embedding\.weight"
    r"|ln_final\.(?:weight|bias)|transformer\.resblocks\..+)"
)
_SHARED = ((_TEXT, r"\1"), (r"image_projection", r"visual.head.proj.weight"))
_VMAMBA = (
    (r"visual\.patch_embed\.0\.(.+)", r"patch_embed.conv1.\1"),
    (r"visual\.patch_embed\.2\.(.+)", r"patch_embed.norm1.\1"),
    (r"visual\.patch_embed\.5\.(.+)", r"patch_embed.conv2.\1"),
    (r"visual\.patch_embed\.7\.(.+)", r"patch_embed.norm2.\1"),
    (r"visual\.layers\.(\d+\.blocks\.\d+)\.norm\.(.+)", r"stages.\1.norm1.\2"),
    (r"visual\.layers\.(\d+\.blocks\.\d+)\.op\.(.+)", r"stages.\1.mixer.\2"),
    (r"visual\.layers\.(\d+\.blocks\.\d+)\.((?:norm2|mlp)\..+)", r"stages.\1.\2"),
    # There the downsampling ends a stage, here it begins the next one.
    (r"visual\.layers\.(\d+)\.downsample\.1\.(.+)", r"stages.{1+1}.downsample.conv.\2"),
    (r"visual\.layers\.(\d+)\.downsample\.3\.(.+)", r"stages.{1+1}.downsample.norm.\2"),
    (r"visual\.classifier\.norm\.(.+)", r"norm.\1"),
)
_SIMBA = (
    (r"visual\.patch_embed1\.(conv\..+)", r"stages.0.downsample.\1"),
    (r"visual\.patch_embed1\.proj\.(.+)", r"stages.0.downsample.down.conv.\1"),
    (r"visual\.patch_embed1\.norm\.(.+)", r"stages.0.downsample.down.norm.\1"),
    (r"visual\.patch_embed(\d+)\.proj\.(.+)", r"stages.{1-1}.downsample.conv.\2"),
    (r"visual\.patch_embed(\d+)\.norm\.(.+)", r"stages.{1-1}.downsample.norm.\2"),
    (r"visual\.block(\d+)\.(\d+)\.attn\.norm\.(.+)", r"stages.{1-1}.blocks.\2.norm1.\3"),
    (r"visual\.block(\d+)\.(\d+)\.attn\.mamba\.(.+)", r"stages.{1-1}.blocks.\2.mixer.\3"),
    (r"visual\.block(\d+)\.(\d+)\.mlp\.dwconv\.(dwconv\..+)", r"stages.{1-1}.blocks.\2.mlp.\3"),
    (r"visual\.block(\d+)\.(\d+)\.((?:norm2|mlp)\..+)", r"stages.{1-1}.blocks.\2.\3"),
    (r"visual\.post_network\.0\.attn\.norm\.(.+)", r"class_block.norm1.\1"),
    (r"visual\.post_network\.0\.attn\.mamba\.(.+)", r"class_block.mixer.\1"),
    (r"visual\.post_network\.0\.((?:norm2|mlp)\..+)", r"class_block.\1"),
    (r"visual\.norm(\d+)\.(.+)", r"stages.{1-1}.norm.\2"),  # the last one: see translate()
)
#: The baselines' towers are timm's on both sides (SLIP's ``clip_base_25ep.pt``).
_VIT = ((r"visual\.((?:cls_token|pos_embed|patch_embed|blocks|norm)\b.*)", r"\1"),)

#: family -> (a name that only this family has, its rules)
FAMILIES = {
    "vmamba": (re.compile(r"visual\.layers\."), _VMAMBA),
    "simba": (re.compile(r"visual\.block\d+\."), _SIMBA),
    "vit": (re.compile(r"visual\.cls_token"), _VIT),
}


def find_family(names: Mapping[str, Tensor]) -> str | None:
    """Tell which family of image tower the released names belong to.

    Args:
        names: A state dict in the released names.

    Returns:
        A key of ``FAMILIES``, or None.
    """
    for family, (mark, _) in FAMILIES.items():
        if any(mark.match(name) for name in names):
            return family
    return None


def translate(name: str, family: str, last_stage: int = 4) -> str | None:
    """Translate one name.

    Args:
        name: A released name, without ``module.`` and without ``_e``.
        family: A key of ``FAMILIES``.
        last_stage: Number of the last SiMBA stage, whose norm is the model's final one.

    Returns:
        Our name, or None if the name is unknown.
    """
    for pattern, replacement in _SHARED:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    if family == "simba":
        name = re.sub(rf"^visual\.norm{last_stage}\.", "visual.final_norm.", name)
        if match := re.fullmatch(r"visual\.final_norm\.(.+)", name):
            return f"visual.trunk.norm.{match[1]}"
    for pattern, replacement in FAMILIES[family][1]:
        if match := re.fullmatch(pattern, name):
            return "visual.trunk." + _expand(match, replacement)
    return None


def translate_state(
    state: Mapping[str, Tensor], family: str, suffix: str, source: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Translate a whole state dict.

    Args:
        state: Tensors by released name, without ``module.`` and without ``suffix``.
        family: A key of ``FAMILIES``.
        suffix: What the file appends to the first part of these names, for messages.
        source: The file, for messages.

    Returns:
        Tensors by our name, and the file's name for each of ours.

    Raises:
        ValueError: If a name is unknown.
    """
    stages = [int(m[1]) for name in state if (m := re.match(r"visual\.block(\d+)\.", name))]
    result, origin, unknown = {}, {}, []
    for name, tensor in state.items():
        ours = translate(name, family, max(stages, default=0))
        top, dot, rest = name.partition(".")
        if ours is None:
            unknown.append(top + suffix + dot + rest)
            continue
        # x @ projection there, a linear layer here.
        result[ours] = tensor.t().contiguous() if name == "image_projection" else tensor
        origin[ours] = top + suffix + dot + rest
    if unknown:
        raise ValueError(f"{source} has tensors of no known meaning: {', '.join(unknown)}.")
    return result, origin


def _expand(match: re.Match[str], replacement: str) -> str:
    # Expands \1 as re.sub does, and {1+1}, {1-1} to group 1 plus or minus one.
    shifted = re.sub(r"\{1([+-]1)\}", lambda m: str(int(match[1]) + int(m[1])), replacement)
    return match.expand(shifted)
