"""Inputs of the rules that build corpora."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clip_mamba.data.shard_names import expand_shards
from clip_mamba.data.tsv_files import annotation_file, image_files
from clip_mamba.data.yfcc_images import IMAGES, address

#: Keys of the section that say how pictures are downloaded (clip_mamba/data/yfcc_download.py).
DOWNLOAD = (
    "image_size",
    "per_shard",
    "processes",
    "threads",
    "timeout",
    "retries",
    "min_success",
    "max_pixels",
)


def is_url(name: str) -> bool:
    """Tell an address from a path.

    Args:
        name: An entry of the configuration.

    Returns:
        Whether it begins with a protocol.
    """
    return "://" in name


def addresses(corpus: Mapping[str, Any]) -> dict[str, str]:
    """Return what has to be fetched for YFCC15M.

    Args:
        corpus: The section of the configuration.

    Returns:
        Addresses by file name.
    """
    entries = [corpus["list"], *corpus["metadata"]]
    return {url.rsplit("/", 1)[-1]: url for url in entries if is_url(url)}


def listing(corpus: Mapping[str, Any], folder: str) -> str:
    """Return the file with OpenAI's list.

    Args:
        corpus: The section of the configuration.
        folder: Where downloads go.

    Returns:
        A path, which may not exist yet.
    """
    name: str = corpus["list"]
    return f"{folder}/{name.rsplit('/', 1)[-1]}" if is_url(name) else name


def metadata(corpus: Mapping[str, Any], folder: str) -> list[str]:
    """Return the files of YFCC100M's metadata.

    Args:
        corpus: The section of the configuration.
        folder: Where downloads go.

    Returns:
        Paths: of downloads, which may not exist yet, and of a site's own files.
    """
    found: list[str] = []
    for entry in corpus["metadata"]:
        if is_url(entry):
            found.append(f"{folder}/{entry.rsplit('/', 1)[-1]}")
        else:
            found += sorted(glob.glob(entry)) or [entry]
    return found


def chosen(corpus: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return some of the settings, so that a job runs again only if these change.

    Args:
        corpus: The section of the configuration.
        *names: Their names; those that the section lacks are left out.

    Returns:
        The settings.
    """
    return {name: corpus[name] for name in names if name in corpus}


def slices(corpus: Mapping[str, Any], folder: str) -> list[str]:
    """Return the indices of the slices in which YFCC15M is downloaded.

    Args:
        corpus: The section of the configuration.
        folder: Where the shards go.

    Returns:
        Paths.
    """
    return [f"{folder}/slice-{number:05d}/index.json" for number in range(corpus["slices"])]


def tsv_images(corpus: Mapping[str, Any]) -> list[str]:
    """Return the files of pictures in the reference's layout.

    Args:
        corpus: The section of the configuration.

    Returns:
        Paths.
    """
    return [str(path) for path in image_files(corpus["folder"])]


def tsv_annotations(corpus: Mapping[str, Any], number: int) -> str:
    """Return a file of annotations in the reference's layout.

    Args:
        corpus: The section of the configuration.
        number: Which one.

    Returns:
        Its path.
    """
    return str(annotation_file(image_files(corpus["folder"])[number]))


def tsv_parts(corpus: Mapping[str, Any], folder: str) -> list[str]:
    """Return the indices of the parts into which the reference's files are turned.

    Args:
        corpus: The section of the configuration.
        folder: Where the shards go.

    Returns:
        Paths.
    """
    number = len(image_files(corpus["folder"]))
    return [f"{folder}/part-{part:05d}/index.json" for part in range(number)]


def state(patterns: str | list[str]) -> str:
    """Return a digest of names, lengths and times of a user's shards: a change indexes them anew.

    Args:
        patterns: As the configuration has them.

    Returns:
        Hexadecimal digits.
    """
    return _state(expand_shards(patterns))


def folder_state(folder: str) -> str:
    """Return the same of all files below a user's folder, whose own time says nothing of them.

    Args:
        folder: As the configuration has it.

    Returns:
        Hexadecimal digits.
    """
    return _state(sorted(path for path in Path(folder).rglob("*") if path.is_file()))


def _state(paths: Iterable[Path]) -> str:
    text = hashlib.sha256()
    for path in paths:
        found = path.stat() if path.exists() else None
        text.update(f"{path} {found and (found.st_size, found.st_mtime_ns)}\n".encode())
    return text.hexdigest()[:16]


def share(limit: int | None, parts: int) -> int | None:
    """Return how much of a limit falls to one of several parts.

    Args:
        limit: The limit of all.
        parts: How many there are.

    Returns:
        An equal share, rounded up; ``None`` without a limit.
    """
    return None if limit is None else math.ceil(limit / parts)


def mistakes(corpus: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a section that its schema cannot tell.

    Args:
        corpus: The section of the configuration.
        place: Its name, for messages.

    Yields:
        The place of each mistake, and what is wrong.
    """
    if corpus["kind"] == "yfcc15m":
        limit, slices = corpus["limit"], corpus["slices"]
        if limit is not None and limit < slices:
            yield f"{place}.slices", f"{slices} slices of {limit} pictures; take fewer slices"
        yield from _template(corpus["images"], f"{place}.images")
        for key, names in (("list", [corpus["list"]]), ("metadata", corpus["metadata"])):
            for name in names:
                if not is_url(name) and not glob.glob(name):
                    yield f"{place}.{key}", f"{name!r} is neither an address nor a file"
    elif corpus["kind"] == "webdataset":
        try:
            expand_shards(corpus["shards"])
        except ValueError as error:
            yield place, str(error)
    elif corpus["kind"] == "tsv":
        try:
            for path in image_files(corpus["folder"]):
                annotation_file(path)
        except ValueError as error:
            yield place, str(error)


def _template(images: str, place: str) -> Iterator[tuple[str, str]]:
    if images not in IMAGES and not is_url(images):
        known = ", ".join(IMAGES)
        yield place, f"{images!r} is neither an address nor one of: {known}"
    else:
        try:
            address(images, 1, "0123456789abcdef", "http://flickr.com/1.jpg")
        except (KeyError, IndexError, ValueError) as error:
            known = "{id} {hash} {a} {b} {url}"
            yield place, f"{images!r}: unknown part {error}; known: {known}"
