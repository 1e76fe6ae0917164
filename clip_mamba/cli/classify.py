"""``python -m clip_mamba classify``: rank labels for pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_mamba.cli.options import count

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_TEMPLATE = "a photo of a {}."


def add_classify_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``classify``.

    Args:
        subparsers: What ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "classify", help="rank labels for pictures with a trained model"
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--weights", required=True, type=Path, help="a .safetensors file")
    parser.add_argument("--model", help="the model's name (default: what the weights say)")
    parser.add_argument("--labels", required=True, help='separated by commas: "cat,dog"')
    parser.add_argument(
        "--template",
        action="append",
        help=f"sentence around a label, may be repeated (default {DEFAULT_TEMPLATE!r})",
    )
    parser.add_argument("--top", type=count, default=5, help="labels to show (default 5)")
    parser.add_argument("--device", default="cpu", help="for example cuda (default cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Rank labels for pictures.

    Args:
        arguments: As in :func:`add_classify_command`.

    Returns:
        0.
    """
    ranked = rank(
        arguments.images,
        _labels(arguments.labels),
        arguments.weights,
        model_name=arguments.model,
        templates=_templates(arguments.template or [DEFAULT_TEMPLATE]),
        device=arguments.device,
    )
    top = arguments.top
    if arguments.json:
        entries = [
            {"image": str(path), "labels": [{"label": k, "probability": p} for k, p in row[:top]]}
            for path, row in ranked
        ]
        print(json.dumps(entries, indent=1, ensure_ascii=False))
        return 0
    for path, row in ranked:
        print(path)
        for place, (label, probability) in enumerate(row[:top], start=1):
            print(f"{place:3d}  {100 * probability:6.2f} %  {label}")
    return 0


def rank(
    paths: list[Path],
    labels: list[str],
    weights: Path,
    *,
    model_name: str | None = None,
    templates: list[str],
    device: str = "cpu",
) -> list[tuple[Path, list[tuple[str, float]]]]:
    """Rank labels for each picture.

    Args:
        paths: The pictures.
        labels: The labels.
        weights: A file of :func:`clip_mamba.checkpoints.save_weights`.
        model_name: The model, or None to take the name from the weights' header.
        templates: Sentences with one ``{}`` for the label.
        device: Where to compute.

    Returns:
        For each picture its labels with probabilities, the most likely first.
    """
    import torch  # heavy imports wait until the arguments were found good

    from clip_mamba.device import find_device
    from clip_mamba.factory import create_model
    from clip_mamba.zeroshot import build_classifier, encode_images

    place = find_device(device)
    images = [_open(path) for path in paths]
    name = model_name or _name_in(weights)
    model, preprocess, tokenizer = create_model(name, weights=weights, device=place)
    classifier = build_classifier(model, tokenizer, [[label] for label in labels], templates)
    with torch.inference_mode():
        logits = model.logit_scale.exp() * encode_images(model, images, preprocess) @ classifier
        probabilities = logits.softmax(-1).cpu()
    order = probabilities.argsort(-1, descending=True)
    return [
        (path, [(labels[i], float(row[i])) for i in places.tolist()])
        for path, row, places in zip(paths, probabilities, order, strict=True)
    ]


def _name_in(weights: Path) -> str:
    from clip_mamba.checkpoints import read_metadata
    from clip_mamba.variants import architecture

    name = read_metadata(weights).get("model")
    if name is None:
        raise ValueError(f"{weights} does not say which model it belongs to. Give --model.")
    return architecture(name)


def _labels(text: str) -> list[str]:
    labels = list(dict.fromkeys(label.strip() for label in text.split(",") if label.strip()))
    if not labels:
        raise ValueError(f"--labels {text!r} names no label. Example: --labels 'cat,dog'")
    return labels


def _templates(templates: list[str]) -> list[str]:
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"--template {template!r} needs one {{}} where the label goes.")
    return templates


def _open(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture that Pillow can read.") from error
