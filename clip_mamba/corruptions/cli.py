"""``python -m clip_mamba corrupt IN OUT --condition contrast --level 0.05``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from clip_mamba.corruptions import LEVELS, NONPARAMETRIC, check_condition, corrupt
from clip_mamba.corruptions.shape import object_texture
from clip_mamba.files import atomic_write
from clip_mamba.seeding import generator

#: What is taken for a picture in a folder.
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


def add_corrupt_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``corrupt``; its default ``run`` takes the parsed arguments.

    Args:
        subparsers: What ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "corrupt", help="distort pictures as the model-vs-human benchmark does"
    )
    _add_arguments(parser)
    return parser


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="IN", type=Path, help="a picture, or a folder of them")
    parser.add_argument("output", metavar="OUT", type=Path, help="where to write, likewise")
    parser.add_argument("--condition", required=True, help="for example contrast")
    parser.add_argument("--level", help="for example 0.05 or c05; pixels where it is a length")
    parser.add_argument("--seed", type=int, default=0, help="decides all noise (default 0)")
    parser.add_argument("--texture", type=Path, help="picture to fill with, for cue-conflict")
    parser.set_defaults(run=run)


def main(argv: Sequence[str] | None = None) -> int:
    """Distort pictures from the command line.

    Args:
        argv: The arguments; those of the process if left out.

    Returns:
        0, or 2 with one line on standard error if something is wrong with the arguments.
    """
    parser = argparse.ArgumentParser("clip_mamba corrupt", description=__doc__)
    _add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(arguments: argparse.Namespace) -> int:
    """Distort the pictures that parsed arguments name.

    Args:
        arguments: ``input``, ``output``, ``condition``, ``level``, ``seed``, ``texture``.

    Returns:
        0.

    Raises:
        ValueError: If the condition has levels and none is given, or there is no picture.
    """
    condition = check_condition(arguments.condition)
    level = "0" if condition in NONPARAMETRIC else arguments.level
    if level is None:
        raise ValueError(f"{condition} needs --level: {', '.join(LEVELS[condition])}")
    source, target = arguments.input, arguments.output
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in SUFFIXES)
        pairs = [(file, target / file.with_suffix(".png").name) for file in files]
        _check_distinct(pairs)
    else:
        pairs = [(source, target if target.suffix else target / f"{source.stem}.png")]
    if not pairs:
        raise ValueError(f"{source} holds no picture ({', '.join(sorted(SUFFIXES))})")
    for file, destination in pairs:
        rng = generator(arguments.seed, "corrupt", file.name)
        image = _read(file)
        texture = _texture(arguments.texture, image.shape, rng)
        distorted = corrupt(image, condition, level, rng, texture=texture)
        with atomic_write(destination) as temporary:
            Image.fromarray(np.uint8(np.rint(255 * distorted))).save(temporary)
    return 0


def _check_distinct(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Refuse a folder in which one picture would be written over another.

    Raises:
        ValueError: If two files differ in nothing but the suffix.
    """
    first: dict[Path, Path] = {}
    for file, destination in pairs:
        other = first.setdefault(destination, file)
        if other is not file:
            raise ValueError(
                f"{other} and {file.name} would both become {destination.name}; rename one"
            )


def _read(path: Path) -> np.ndarray:
    """Return a picture on white, with its alpha channel, if it has one, as a fourth plane.

    Raises:
        ValueError: If the file is not a picture.
    """
    try:
        picture = Image.open(path)
        picture.load()
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture that can be read") from error
    transparent = "A" in picture.getbands() or "transparency" in picture.info
    rgba = np.asarray(picture.convert("RGBA"), dtype=np.float32) / np.float32(255)
    alpha = rgba[..., 3:]
    colours = rgba[..., :3] * alpha + (1 - alpha)
    colours = np.clip(colours, 0, 1)
    return np.concatenate([colours, alpha], axis=-1) if transparent else colours


def _texture(
    path: Path | None, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray | None:
    """Return a plane of this shape tiled with a patch of a picture."""
    if path is None:
        return None
    source = _read(path)
    mask = source[..., 3] if source.shape[-1] == 4 else np.ones(source.shape[:2], np.float32)
    plane = object_texture(source[..., :3], mask, max(shape[:2]), rng)
    return plane[: shape[0], : shape[1]]
