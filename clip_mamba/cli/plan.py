"""``python -m clip_mamba plan``: what a pretraining will take, before it is started."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from clip_mamba.catalogue import find_model
from clip_mamba.cli.options import count, number
from clip_mamba.cli.table import markdown

if TYPE_CHECKING:
    from clip_mamba.plan import Plan, Setting

#: The original report's models.
REPORTED = ("VMamba-T220", "VMamba-S", "VMamba-B", "SiMBA-L", "ViT-B-16", "ViT-L-16")
HEADER = (
    "model",
    "parameters",
    "steps",
    "GFLOPs a pair",
    "total EFLOPs",
    "GB a GPU",
    "with checkpointing",
    "fits",
    "pairs/s",
    "hours",
    "GPU hours",
)


def add_plan_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``plan``.

    Args:
        subparsers: What ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "plan", help="steps, arithmetic, memory and expected hours of a pretraining"
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--model", metavar="NAME", help="the model to pretrain")
    chosen.add_argument("--all", action="store_true", help="the six models of the report")
    parser.add_argument("--gpus", type=count, help="GPUs of all nodes (default: 16)")
    parser.add_argument("--gpu", help="a100 (default), a100-40gb, h100, h200 or l40s")
    parser.add_argument("--batch", type=count, help="pairs a step, of all GPUs (default: 4096)")
    parser.add_argument("--epochs", type=number, help="passes over the corpus (default: 25)")
    parser.add_argument("--pairs", type=count, help="size of the corpus, as 14.7e6 (YFCC15M)")
    parser.add_argument(
        "--mfu", type=number, help="assumed share of the data sheet's arithmetic (default: 0.3)"
    )
    parser.add_argument(
        "--no-checkpointing",
        dest="checkpointing",
        action="store_false",
        default=None,
        help="keep all activations: a quarter less arithmetic, much more memory",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the plan.

    Args:
        arguments: Those of :func:`add_plan_command`.

    Returns:
        0.
    """
    names = REPORTED if arguments.all else (find_model(arguments.model),)
    from clip_mamba.plan import Setting, plan  # loads torch: only when it is needed

    given = {f.name: getattr(arguments, f.name) for f in fields(Setting)}
    setting = Setting(**{name: value for name, value in given.items() if value is not None})
    rows = [plan(name, setting) for name in names]
    if arguments.json:
        facts = {"setting": asdict(setting), "plans": [asdict(row) for row in rows]}
        print(json.dumps(facts, indent=1))
    else:
        print(markdown(HEADER, [_cells(row) for row in rows]))
        print("\n".join(["", *assumptions(setting)]))
    return 0


def _cells(row: Plan) -> tuple[str, ...]:
    return (
        row.model,
        f"{row.parameters:,}",
        f"{row.steps:,}",
        f"{row.gflops_per_pair:.2f}",
        f"{row.exaflops:.2f}",
        f"{row.memory_gb:.0f}",
        f"{row.checkpointed_gb:.0f}",
        row.fits,
        f"{row.pairs_per_second:,.0f}",
        f"{row.hours:,.1f}",
        f"{row.gpu_hours:,.0f}",
    )


def assumptions(setting: Setting) -> list[str]:
    """Say what the numbers rest on.

    Args:
        setting: What is to be trained on.

    Returns:
        Lines.
    """
    from clip_mamba.plan import BYTES_PER_PARAMETER, GPUS, OVERHEAD

    gpu = GPUS[setting.gpu]
    recomputed = " + 1 recomputed (checkpointing)" if setting.checkpointing else ""
    return [
        "Expected, not measured:",
        f"- {setting.gpus} x {setting.gpu} ({gpu.flops / 1e12:.0f} TFLOP/s bfloat16, "
        f"{gpu.memory:.0f} GB), of whose arithmetic {setting.mfu:.0%} is put to use (--mfu): an "
        "assumption. A scan is bound by memory, so Mamba towers may reach less; the first steps "
        "of a run print the true rate.",
        f"- {setting.pairs:,} pairs, {setting.epochs:g} epochs, {setting.batch:,} pairs a step, "
        f"{setting.batch // setting.gpus} of them on each GPU.",
        f"- FLOPs = 2 x multiply-accumulates x (1 forward + 2 backward{recomputed}) of both "
        "towers, and the similarities with the whole batch; a scan counts 9 per position, channel "
        "and state. The column for one pair leaves recomputation out.",
        f"- Memory = {BYTES_PER_PARAMETER} bytes a parameter (value, gradient, two moments, EMA, "
        "bfloat16 copy, exchange bucket) + what the backward pass keeps of each pair (bfloat16; "
        f"LayerNorm and scan in float32) + similarities + {OVERHEAD:.0f} GB of overhead.",
        "- Time for data, checkpoints and validation comes on top, unless the loader keeps up.",
    ]
