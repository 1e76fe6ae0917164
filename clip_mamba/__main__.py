"""``python -m clip_mamba COMMAND``."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

#: command -> (module, function that adds it to a parser's sub-commands). A command lives in its
#: own module, and only the chosen one is imported.
COMMANDS = {
    "models": ("clip_mamba.cli.models", "add_models_command"),
    "plan": ("clip_mamba.cli.plan", "add_plan_command"),
    "classify": ("clip_mamba.cli.classify", "add_classify_command"),
    "pretrain": ("clip_mamba.cli.pretrain", "add_pretrain_command"),
    "corrupt": ("clip_mamba.corruptions.cli", "add_corrupt_command"),
}


def build_parser(commands: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Build the parser.

    Args:
        commands: The commands to import.

    Returns:
        A parser whose result has ``run``, the chosen command's function.
    """
    parser = argparse.ArgumentParser(
        "python -m clip_mamba", description="CLIP-pretrained Mamba models."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        module, function = COMMANDS[command]
        getattr(importlib.import_module(module), function)(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; those of the process if left out.

    Returns:
        The exit status: 2 with one line on standard error if the input is wrong.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(COMMANDS)
        print(f"error: unknown command {argv[0]!r}; {hint}known: {known}", file=sys.stderr)
        return 2
    chosen = argv[:1] if argv and argv[0] in COMMANDS else list(COMMANDS)
    arguments = build_parser(chosen).parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
