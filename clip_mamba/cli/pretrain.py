"""``python -m clip_mamba pretrain``: pretrain one model, in one process or in many."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from clip_mamba.catalogue import find_model
from clip_mamba.cli.options import count, count_or_zero, none_or
from clip_mamba.training.running import Running

#: How options are read that are not whole numbers above 0.
_KINDS: dict[str, Callable[[str], Any]] = {
    "workers": count_or_zero,
    "checkpoint_seconds": none_or(float),
    "checkpoint_steps": none_or(count),
    "validation_steps": none_or(count),
    "wandb": none_or(str),
}
#: Exit status of a run that was told to stop and can go on (EX_TEMPFAIL of sysexits.h).
STOPPED = 75


def add_pretrain_command(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``pretrain``.

    Args:
        subparsers: What ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "pretrain",
        help="pretrain one model on an indexed corpus",
        description="Pretrain one model, or go on with it. Start the command once for all "
        "processes of one machine (--devices), or once per process with torchrun or srun.",
    )
    parser.add_argument("--model", required=True, help="e.g. VMamba-B")
    parser.add_argument("--index", required=True, type=Path, help="index.json of the corpus")
    parser.add_argument("--weights", required=True, type=Path, help=".safetensors to write")
    parser.add_argument("--result", type=Path, help="JSON to write (default: beside the weights)")
    parser.add_argument("--folder", type=Path, help="for checkpoints and logs (default: likewise)")
    parser.add_argument("--seed", type=count_or_zero, default=0)
    parser.add_argument("--scale", default="own", help="written to the result (default own)")
    parser.add_argument(
        "--recipe", default="fair", help="an entry of the configuration's recipes, or a JSON file"
    )
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    _add_running(parser)
    parser.set_defaults(run=run)
    return parser


def _add_running(parser: argparse.ArgumentParser) -> None:
    # One option for each field of Running, with its default.
    help_of = _descriptions(Running)
    for entry in fields(Running):
        option, default = "--" + entry.name.replace("_", "-"), entry.default
        if entry.name == "validation_tasks":
            parser.add_argument(option, nargs="+", default=(), help=help_of[entry.name])
            continue
        assert default is not MISSING
        kind = _KINDS.get(entry.name, count)
        shown = f"{help_of[entry.name]} (default {default})".replace("None", "none")
        parser.add_argument(option, type=kind, default=default, help=shown)


def _descriptions(cls: type) -> dict[str, str]:
    """Return what a class's docstring says of its attributes."""
    text = (cls.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, rest = line.partition(": ")
        if colon and name.isidentifier():
            found[name] = rest
        else:
            found[list(found)[-1]] += " " + line
    return found


def run(arguments: argparse.Namespace) -> int:
    """Pretrain.

    Args:
        arguments: As in :func:`add_pretrain_command`.

    Returns:
        0; 1 if training failed; ``STOPPED`` if it was told to stop and can go on.

    Raises:
        ValueError: If an option or the recipe is wrong.
    """
    values = {f.name: getattr(arguments, f.name) for f in fields(Running)}
    running = Running.from_config({**values, "validation_tasks": tuple(values["validation_tasks"])})
    find_model(arguments.model)
    settings = _settings(arguments.recipe, arguments.config, arguments.model)
    if not arguments.index.is_file():
        raise ValueError(f"--index: {arguments.index} is no file; the workflow makes an index")
    weights: Path = arguments.weights
    return guarded(
        model_name=arguments.model,
        seed=arguments.seed,
        scale=arguments.scale,
        index=arguments.index,
        settings=settings,
        folder=arguments.folder or weights.with_suffix(""),
        weights=weights,
        result=arguments.result or weights.with_suffix(".json"),
        running=running,
    )


def guarded(**job: Any) -> int:
    """Run :func:`clip_mamba.pretrain.run` and say in one line what went wrong, if it did.

    Args:
        **job: Its arguments.

    Returns:
        As :func:`run`.

    Raises:
        RuntimeError: Of a single process: that is a fault in the program.
    """
    from clip_mamba.pretrain import run as pretrain  # heavy, so not before the arguments are good
    from clip_mamba.training.environment import is_first, layout
    from clip_mamba.training.preemption import StoppedError

    processes = layout(job["running"])
    try:
        pretrain(**job)
    except (FloatingPointError, StoppedError, ValueError, OSError) as error:
        if is_first():
            print(f"error: {error}", file=sys.stderr, flush=True)
        return STOPPED if isinstance(error, StoppedError) else 1
    except RuntimeError as error:
        if processes == (1, 1):
            raise
        reason = (str(error).strip().splitlines() or ["?"])[0]
        print(
            f"error: a process of this run was lost or could not be reached ({reason}). What was "
            f"saved in {job['folder']} is whole: the same command goes on from there.",
            file=sys.stderr,
            flush=True,
        )
        return 1
    return 0


def _settings(recipe: str, config: Path, model: str) -> dict[str, Any]:
    # The recipe's settings for a model, each known.
    from clip_mamba.recipe import Recipe
    from clip_mamba.training.section import complete, resolve

    if recipe.endswith(".json"):
        try:
            settings = json.loads(Path(recipe).read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{recipe} is not JSON: {error}") from error
        Recipe.from_config(settings)
        return settings
    import yaml

    recipes = yaml.safe_load(config.read_text())["recipes"]
    if recipe not in recipes:
        near = difflib.get_close_matches(recipe, recipes, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"{config} has no recipe {recipe!r}; {hint}known: {', '.join(recipes)}")
    settings = resolve(complete(recipes, recipe), model)
    Recipe.from_config(settings)
    return settings
