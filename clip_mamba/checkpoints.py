"""Checkpoints in and out: our own safetensors files, and the ones that were released.

A released file (Hugging Face ``weiquan/mamba-clip``) is a training checkpoint: a pickled dict of
``state_dict``, ``epoch``, ``args`` (an ``argparse.Namespace``) and optimizer state. It is read
with torch's restricted unpickler, which can build tensors, plain containers and that Namespace
and nothing else; a file that asks for more is refused before anything of it runs.

The averaged copy (EMA), on which the released scores were taken, was made from parameters alone.
Its BatchNorm buffers were never updated: mean 0 and variance 1. Only SiMBA has BatchNorm (in its
stem), and its features differ by about 31 % from those with the buffers of the online copy.
``batch_norm="released"`` keeps that, as the scores were taken so; ``batch_norm="online"`` takes
the online buffers, which is what an averaged model ought to have.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from clip_mamba.files import atomic_write, sha256
from clip_mamba.models.build import build_clip
from clip_mamba.registration import list_models
from clip_mamba.released import find_family, translate_state

Copy = Literal["ema", "online"]
BatchNorm = Literal["released", "online"]
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def save_weights(path: str | Path, model: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write a model's state as safetensors, atomically; open_clip's loader reads it too.

    Args:
        path: The file to write, ``.safetensors``.
        model: The model.
        metadata: Header entries: model, recipe, seed, step, data digest, versions, ...
    """
    save_state(path, model.state_dict(), metadata)


def save_state(path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, atomically.

    Args:
        path: The file to write, ``.safetensors``.
        state: Tensors by name.
        metadata: As in :func:`save_weights`.
    """
    # clone: safetensors refuses tensors that share memory.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in state.items()}
    header = {"format": "pt", **{key: str(value) for key, value in metadata.items()}}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file of :func:`save_weights`.

    Args:
        path: The file.

    Returns:
        The state dict, on the CPU, and the metadata.
    """
    with _open_weights(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _metadata(file)  # noqa: SIM118


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the header of a file of :func:`save_weights`, without its tensors.

    Args:
        path: The file.

    Returns:
        The metadata.
    """
    with _open_weights(path) as file:
        return _metadata(file)


def _metadata(file: Any) -> dict[str, str]:
    return file.metadata() or {}


@contextmanager
def _open_weights(path: str | Path) -> Generator[Any]:
    # Yields an open safetensors file.
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error


def load_into(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Load weights into a model, strictly.

    Args:
        model: The model.
        path: A file of :func:`save_weights`.

    Returns:
        The file's metadata.
    """
    state, metadata = load_weights(path)
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    check_state(state, expected, str(path))
    model.load_state_dict(state)
    return metadata


def check_state(
    state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], source: str
) -> None:
    """Compare names and shapes; every tensor must be there and none be left over.

    Args:
        state: What was found.
        expected: Names and shapes that are wanted.
        source: The file, for the message.

    Raises:
        ValueError: If anything differs; names the tensors.
    """
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(t.shape)}, not {expected[name]}"
        for name, t in state.items()
        if name in expected and tuple(t.shape) != expected[name]
    ]
    faults = [
        f"{kind}: {_some(names)}"
        for kind, names in (("missing", missing), ("unknown", extra), ("wrong shape", shapes))
        if names
    ]
    if faults:
        raise ValueError(f"{source} does not fit the model. " + "; ".join(faults) + ".")


def load_released(
    path: str | Path,
    which: Copy = "ema",
    *,
    model: str | None = None,
    batch_norm: BatchNorm = "released",
) -> dict[str, Tensor]:
    """Read a checkpoint of the original release, without executing pickled code.

    Args:
        path: The file.
        which: ``ema``, the averaged copy that the published scores were taken on, or ``online``.
        model: The model's name, or None to tell it from the tensors.
        batch_norm: Whose BatchNorm buffers the averaged copy gets, see the module's docstring.

    Returns:
        A state dict in our names, complete and of the right shapes.
    """
    return _read_released(path, which, model, batch_norm)[1]


def convert(path: str | Path, target: str | Path, model: str) -> None:
    """Bring a checkpoint of this project or of the original release to a safetensors file.

    Args:
        path: A safetensors file of :func:`save_weights`, or a released training checkpoint, of
            which the averaged copy is taken if it has one.
        target: The file to write.
        model: The model that the weights must fit.
    """
    if Path(path).suffix == ".safetensors":
        state, metadata = load_weights(path)
        check_state(state, _shapes(model), f"{path}, read as {model},")
        save_state(target, state, {**metadata, "source": Path(path).name})
        return
    checkpoint = read_pickle(path)
    names = checkpoint.get("state_dict", {}) if isinstance(checkpoint, dict) else {}
    averaged = any(name.removeprefix("module.").split(".")[0].endswith("_e") for name in names)
    convert_released(path, target, "ema" if averaged else "online", model=model)


def convert_released(
    path: str | Path,
    target: str | Path,
    which: Copy = "ema",
    *,
    model: str | None = None,
    batch_norm: BatchNorm = "released",
) -> str:
    """Convert a checkpoint of the original release to a safetensors file.

    Args:
        path: The released file.
        target: The file to write.
        which: As in :func:`load_released`.
        model: As in :func:`load_released`.
        batch_norm: As in :func:`load_released`.

    Returns:
        The model's name.
    """
    name, state, epoch = _read_released(path, which, model, batch_norm)
    metadata = {
        "model": name,
        "recipe": "released",
        "copy": which,
        "batch_norm": batch_norm,
        "epoch": str(epoch),
        "source": Path(path).name,
        "source_sha256": sha256(path),
    }
    save_state(target, state, metadata)
    return name


def _read_released(
    path: str | Path, which: Copy, model: str | None, batch_norm: BatchNorm
) -> tuple[str, dict[str, Tensor], Any]:
    # Returns the model's name, its state dict in our names, and the epoch.
    for option, value, known in (
        ("which", which, ("ema", "online")),
        ("batch_norm", batch_norm, ("released", "online")),
    ):
        if value not in known:
            raise ValueError(f"{option}={value!r} is not one of {', '.join(known)}.")
    checkpoint = read_pickle(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{path} is not a released checkpoint: it has no state_dict.")
    state = checkpoint["state_dict"]
    name, state = remap_released(state, which, model=model, batch_norm=batch_norm, source=str(path))
    return name, state, checkpoint.get("epoch")


def remap_released(
    state: Mapping[str, Tensor],
    which: Copy = "ema",
    *,
    model: str | None = None,
    batch_norm: BatchNorm = "released",
    source: str = "the state dict",
) -> tuple[str, dict[str, Tensor]]:
    """Translate a released state dict to ours, strictly: no tensor is lost, none is made up.

    Args:
        state: Tensors by released name; ``module.`` in front and ``_e`` copies are understood.
        which: As in :func:`load_released`.
        model: As in :func:`load_released`.
        batch_norm: As in :func:`load_released`.
        source: Where the tensors come from, for messages.

    Returns:
        The model's name and its state dict.

    Raises:
        ValueError: If a tensor is missing, unknown or of the wrong shape; names it.
    """
    online, ema = _split_copies(state)
    family = find_family(online)
    if family is None:
        raise ValueError(f"{source} holds none of the known image towers (VMamba, SiMBA, ViT).")
    # Both copies are translated, so that a name of no known meaning is found in either.
    online, origin = translate_state(online, family, "", source)
    ema, origin_ema = translate_state(ema, family, "_e", source)
    if which == "ema":
        result, origin = _averaged(online, ema, batch_norm, source), origin_ema
    else:
        result = online
    name = model or _recognise(result, family)
    _check_released(result, origin, name, source)
    return name, result


def read_pickle(path: str | Path) -> Any:
    """Unpickle a file of tensors, plain containers and ``argparse.Namespace``; nothing else.

    Args:
        path: The file.

    Returns:
        What the file holds.

    Raises:
        ValueError: If the file is damaged, or asks for anything else.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "GLOBAL" in line), lines[-1])
        raise ValueError(
            f"{path} was refused and nothing in it was run: {reason.strip()} Only tensors, "
            "plain containers and argparse.Namespace are accepted."
        ) from error
    except (EOFError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or not a torch checkpoint: {error}") from error


def _split_copies(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    # Splits into the online copy and the averaged one, both under the online names.
    online, ema = {}, {}
    for name, tensor in state.items():
        top, dot, rest = name.removeprefix("module.").partition(".")
        if top.endswith("_e"):
            ema[top.removesuffix("_e") + dot + rest] = tensor
        else:
            online[top + dot + rest] = tensor
    return online, ema


def _averaged(
    online: Mapping[str, Tensor], ema: Mapping[str, Tensor], batch_norm: BatchNorm, source: str
) -> dict[str, Tensor]:
    # Completes the averaged copy: it shares the logit scale with the online one.
    if not ema:
        raise ValueError(f"{source} has no averaged copy. Use which='online'.")
    result = {**ema, **{k: v for k, v in online.items() if k == "logit_scale"}}
    if batch_norm == "online":
        result |= {k: v for k, v in online.items() if k.endswith(_BUFFERS)}
    return result


def _recognise(state: Mapping[str, Tensor], family: str) -> str:
    """Return the model of the family whose tensors differ least from these."""
    found = {(name, tuple(t.shape)) for name, t in state.items()}
    names = [name for name in list_models() if name.lower().startswith(family)]
    return min(names, key=lambda name: len(found ^ set(_shapes(name).items())))


@cache
def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's tensors, without allocating them."""
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        model = build_clip(config)
    return {key: tuple(t.shape) for key, t in model.state_dict().items()}


def _check_released(
    state: Mapping[str, Tensor], origin: Mapping[str, str], name: str, source: str
) -> None:
    # Checks completeness and shapes; the message gives the file's names beside ours.
    def shown(ours: str) -> str:
        return f"{ours} (in the file: {origin[ours]})" if ours in origin else ours

    check_state(
        {shown(key): t for key, t in state.items()},
        {shown(key): shape for key, shape in _shapes(name).items()},
        f"{source}, read as {name},",
    )


def _some(names: Iterable[str], limit: int = 5) -> str:
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
