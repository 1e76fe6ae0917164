"""``python -m clip_mamba models``: what there is, how large, how costly."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clip_mamba.catalogue import find_model
from clip_mamba.cli.table import markdown
from clip_mamba.registration import list_models

if TYPE_CHECKING:
    from clip_mamba.models.summary import Summary

HEADER = ("name", "family", "input", "image tower", "projection", "text tower", "GFLOPs")


def add_models_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``models``.

    Args:
        subparsers: What ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "models", help="list the models, their parameters and their cost"
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these models; open_clip's own as well"
    )
    parser.add_argument("--all", action="store_true", help="the tiny test models too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the table.

    Args:
        arguments: ``names``, ``all``, ``json``.

    Returns:
        0.
    """
    shown = [name for name in list_models() if arguments.all or not name.endswith("-Test")]
    names = [find_model(name) for name in arguments.names] or shown
    from clip_mamba.models.summary import summarise  # loads torch: only when it is needed

    rows = [summarise(name) for name in names]
    rows.sort(key=lambda row: (-row.image_size, row.family, row.image_parameters))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(markdown(HEADER, [_cells(row) for row in rows], words=2))
        print(
            "\nGFLOPs: 1e9 multiply-accumulates of the image tower for one image; a scan counts 9 "
            "per position, channel and state."
        )
    return 0


def _cells(row: Summary) -> tuple[str, ...]:
    return (
        row.name,
        row.family,
        f"{row.image_size} px",
        f"{row.image_parameters:,}",
        "-" if row.projection_parameters is None else f"{row.projection_parameters:,}",
        f"{row.text_parameters:,}",
        f"{row.gflops:.2f}" if row.gflops >= 1 else f"{row.gflops:.4f}",
    )
