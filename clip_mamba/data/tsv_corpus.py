r"""The reference's corpus layout, turned into shards.

A folder of pairs of files: ``train-image-003.tsv`` has a line ``<name>\t<picture in base64>`` per
picture; the first line of ``train-annos-2caps-003.json`` is a list of ``{"img_location": position
of the TSV in the sorted list of TSVs, "lineidx_ptr": byte offset of the line, "caption": [title,
description]}``. The shards hold the same pictures, a quarter smaller, with the same captions.
"""

from __future__ import annotations

import base64
import binascii
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from clip_mamba.data.shard_index import index_shards
from clip_mamba.data.shard_scan import MAX_PIXELS
from clip_mamba.data.shards import Sample, to_json, write_tar
from clip_mamba.data.tsv_files import annotation_file, image_files
from clip_mamba.files import atomic_write

#: Extensions by the first bytes of a picture; anything else is called a JPEG and found out later.
MAGIC = {b"\x89PNG": "png", b"RIFF": "webp"}


def convert(
    folder: str | Path,
    number: int,
    target: str | Path,
    *,
    per_shard: int = 10_000,
    processes: int = 1,
    max_pixels: int = MAX_PIXELS,
    limit: int | None = None,
) -> dict[str, Any]:
    """Turn one file of annotations and its pictures into shards, and index them.

    A conversion that was killed goes on behind the shards that are complete.

    Args:
        folder: The corpus in the reference's layout.
        number: Position of the file in :func:`clip_mamba.data.tsv_files.image_files`.
        target: Folder for ``index.json`` and the folder ``shards``.
        per_shard: Pairs per shard.
        processes: Shards that are written at a time.
        max_pixels: Larger pictures are left out.
        limit: Use only so many annotations, from the beginning.

    Returns:
        The index.
    """
    images, target = image_files(folder), Path(target)
    annotations = _annotations(annotation_file(images[number]))[:limit]
    shards = _prepare(target, images, annotation_file(images[number]), per_shard, limit)
    work = partial(_write_shard, images=images, file=number, folder=shards, per_shard=per_shard)
    chunks = [annotations[i : i + per_shard] for i in range(0, len(annotations), per_shard)]
    with ProcessPoolExecutor(processes) as pool:
        done = pool.map(work, range(len(chunks)), chunks)
        progress = tqdm(done, total=len(chunks), desc="convert", unit="shards", delay=5)
        left_out = sum(progress, Counter[str]())
    return index_shards(
        [shards / f"{i:05d}.tar" for i in range(len(chunks))],
        target / "index.json",
        kind="tsv",
        processes=processes,
        max_pixels=max_pixels,
        left_out=left_out,
    )


def _annotations(path: Path) -> list[dict[str, Any]]:
    with open(path, "rb") as file:
        try:
            found = json.loads(file.readline().decode())
        except ValueError as error:
            raise ValueError(f"{path} is truncated or no JSON ({error}).") from None
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and {"img_location", "lineidx_ptr", "caption"} <= set(entry)
        for entry in found
    ):
        raise ValueError(
            f"{path}: its first line is no list of img_location, lineidx_ptr and caption."
        )
    return found


def _prepare(
    target: Path, images: list[Path], annotations: Path, per_shard: int, limit: int | None
) -> Path:
    shards, path = target / "shards", target / "request.json"
    files = {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in [*images, annotations]}
    request = {"per_shard": per_shard, "limit": limit, "files": files}
    if shards.exists() and not (path.exists() and json.loads(path.read_text()) == request):
        print(f"{target}: the corpus has changed, so the conversion starts anew")
        shutil.rmtree(shards)
    shards.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(request, indent=1) + "\n")
    return shards


def _write_shard(
    number: int,
    annotations: Sequence[dict[str, Any]],
    *,
    images: list[Path],
    file: int,
    folder: Path,
    per_shard: int,
) -> Counter[str]:
    # Write a shard unless it is complete; what was left out, by reason, is recorded beside it.
    record = folder / f"{number:05d}_left_out.json"
    if not record.exists():
        left_out: Counter[str] = Counter()
        samples = _samples(annotations, images, f"{file:03d}", number * per_shard, left_out)
        write_tar(folder / f"{number:05d}.tar", samples)
        with atomic_write(record) as temporary:
            temporary.write_text(json.dumps(left_out))
    return Counter(json.loads(record.read_text()))


def _samples(
    annotations: Sequence[dict[str, Any]],
    images: list[Path],
    prefix: str,
    first: int,
    left_out: Counter[str],
) -> Iterator[Sample]:
    with ExitStack() as stack:
        files: dict[int, BinaryIO] = {}
        for i, entry in enumerate(annotations, first):
            place, offset = int(entry["img_location"]), int(entry["lineidx_ptr"])
            if place not in files:
                files[place] = stack.enter_context(_open(images, place))
            picture = _picture(files[place], offset, images[place])
            texts = _captions(entry["caption"])
            fault = picture if isinstance(picture, str) else "" if texts else "both captions empty"
            if isinstance(picture, str) or fault:
                left_out[str(fault)] += 1
                continue
            facts = {"captions": texts, "source": f"{images[place].name}:{offset}"}
            extension = MAGIC.get(picture[:4], "jpg")
            yield f"{prefix}-{i:08d}", {extension: picture, "json": to_json(facts)}


def _open(images: list[Path], place: int) -> BinaryIO:
    if not 0 <= place < len(images):
        raise ValueError(
            f"the annotations name picture file number {place}, but {images[0].parent} has "
            f"{len(images)}: a train-image-*.tsv is missing."
        )
    return open(images[place], "rb")


def _picture(file: BinaryIO, offset: int, path: Path) -> bytes | str:
    # The picture of a line, or why there is none.
    file.seek(offset)
    line = file.readline()
    if not line:
        raise ValueError(
            f"{path} is truncated: its annotations go on to byte {offset}, the file ends at "
            f"{path.stat().st_size}. Copy it again."
        )
    _, tab, text = line.rstrip(b"\r\n").rpartition(b"\t")
    if not tab:
        return "lines without a tab"
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return "lines that are no base64"


def _captions(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value or [])
    cleaned = [" ".join(text.split()) for text in texts if isinstance(text, str)]
    return list(dict.fromkeys(text for text in cleaned if text))
