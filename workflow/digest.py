"""Digest of the library code that a job can execute: where it changes, the job runs again.

That code is what the job's script imports, and what that imports in turn, within functions as well.
Import lines are found by a regular expression and each file is read once, for Snakemake reads its
files again in every job.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Modules that change no result of the jobs that import them; what they import is not followed.
NEUTRAL = {
    # How files are written, what a person sees meanwhile, and what a result says of the machine.
    "clip_mamba.files",
    "clip_mamba.machine",
    "clip_mamba.progress",
    "workflow.cores",
    "workflow.logs",
    # How bytes arrive; what arrives is compared with its checksum.
    "clip_mamba.data.checksums",
    "clip_mamba.data.download",
    "clip_mamba.data.fetch",
    # A check that stops a job or lets it pass.
    "clip_mamba.data.expected",
    # Where a pretraining runs, how it is stopped and goes on, and what is looked at on its way: the
    # weights are the same (docs/pretraining.md), and days of GPUs would go into making them again.
    "clip_mamba.cli.pretrain",
    "clip_mamba.training.checkpoints",
    "clip_mamba.training.environment",
    "clip_mamba.training.launch",
    "clip_mamba.training.preemption",
    "clip_mamba.training.running",
    "clip_mamba.training.throughput",
    "clip_mamba.training.validation",
    # Only conversions use it, and name it.
    "clip_mamba.released",
}

_IMPORT = re.compile(
    r"^[ \t]*(?:from ((?:clip_mamba|workflow)[\w.]*) import (\([^)]*\)|.*)"
    r"|import ((?:clip_mamba|workflow)[\w.]*))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#.*")
_NAME = re.compile(r"(\w+)(?: as (\w+))?")
#: A file beside a module, which reads it.
_BESIDE = re.compile(r"__file__\)\.with_name\(\"([\w.]+)\"\)")


@cache
def code(*names: str, model: str = "") -> str:
    """Return a digest of all code that a job can execute.

    Args:
        *names: Its script in ``workflow/scripts``, without ending. Names with dots are modules that
            count as well: what the script starts as another process, or a neutral one.
        model: The model whose configuration the job reads; one of open_clip's own has no file here.

    Returns:
        Sixteen hexadecimal digits.
    """
    read = [*files(*names), f"clip_mamba/models/configs/{model}.json"]
    text = "".join(sorted(_sha256(path) for path in read if _exists(path)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files(*names: str) -> set[str]:
    """Return the files of the library that a job can execute.

    Args:
        *names: As for :func:`code`.

    Returns:
        Their paths in the project, without the script: Snakemake itself watches that.

    Raises:
        ValueError: If there is no such script or module.
    """
    found = {name for name in names if "." in name}
    todo = [name if name in found else f"workflow.scripts.{name}" for name in names]
    for module in todo:
        if not _file(module):
            raise ValueError(f"there is no {module}")
    while todo:
        new = _imported(todo.pop()) - found - NEUTRAL
        found |= new
        todo += new
    return found and set.union(*map(_files, found))


@cache
def _files(module: str) -> set[str]:
    # A module's own file, and one that it reads beside that.
    path = _file(module)
    beside = _BESIDE.findall(_text(path))
    return {path, *(f"{os.path.dirname(path)}/{name}" for name in beside)}


@cache
def _imported(module: str) -> set[str]:
    # The modules that a module's imports come from.
    return {_origin(source, name) for source, name in _imports(module).values()}


def _origin(module: str, name: str) -> str:
    # Where a name comes from: packages hand on names of their modules. Only those asked for are
    # followed, so that an edit of one module does not concern those who use another.
    if name and _file(f"{module}.{name}"):
        return f"{module}.{name}"
    if name in _imports(module) and _file(module).endswith("__init__.py"):
        return _origin(*_imports(module)[name])
    return module


@cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    # What a module imports: name there -> (module, name in that or nothing).
    found = {}
    for source, names, plain in _IMPORT.findall(_text(_file(module))):
        if plain:
            found[plain] = (plain, "")
        for name, alias in _NAME.findall(_COMMENT.sub("", names)):
            found[alias or name] = (source, name)
    return found


@cache
def _file(module: str) -> str:
    path = module.replace(".", "/")
    return next(filter(_exists, (f"{path}.py", f"{path}/__init__.py")), "")


@cache
def _exists(path: str) -> bool:
    return os.path.isfile(ROOT / path)


@cache
def _text(path: str) -> str:
    return (ROOT / path).read_text()


@cache
def _sha256(path: str) -> str:
    return hashlib.sha256(_text(path).encode()).hexdigest()
