"""YFCC15M: OpenAI's list of photos, joined with YFCC100M's metadata to addresses and captions.

The subset is the one of the CLIP paper and of this report's reference. Another set goes by the
same name: DeCLIP's 15.4 million recaptioned pairs (on Hugging Face as Kaichengalex/YFCC15M), of
which fewer than half are on OpenAI's list. The counts below tell them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from clip_mamba.data.expected import Expected
from clip_mamba.data.yfcc_captions import captions
from clip_mamba.data.yfcc_counts import DECLIP, LISTED
from clip_mamba.data.yfcc_images import address
from clip_mamba.data.yfcc_metadata import Photo, read_metadata
from clip_mamba.files import atomic_write

SCHEMA = pa.schema([
    ("photoid", pa.int64()),
    ("url", pa.string()),
    ("captions", pa.list_(pa.string())),
])
ROWS = 50_000  # pairs in a row group


def read_list(
    path: str | Path, *, listed: int | None = LISTED, limit: int | None = None
) -> pa.Table:
    """Read OpenAI's list.

    Args:
        path: ``yfcc100m_subset_data.tsv.bz2`` or the unpacked file.
        listed: The number of rows to insist on; ``None`` for any.
        limit: Keep only so many rows, from the beginning.

    Returns:
        Columns ``line`` and ``photoid`` (int64) and ``hash`` (string).

    Raises:
        ValueError: If it is another file, or the list of another subset.
    """
    names = ["line", "photoid", "hash"]
    types = {"line": pa.int64(), "photoid": pa.int64(), "hash": pa.string()}
    try:
        table = pa.csv.read_csv(
            str(path),
            read_options=pa.csv.ReadOptions(column_names=names),
            parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa.csv.ConvertOptions(column_types=types),
        )
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"{path} is not OpenAI's list of line number, photo identifier and hash, or it is cut "
            f"off ({first}). Delete it and fetch it again."
        ) from None
    if listed is not None and len(table) != listed:
        raise ValueError(
            f"{path}: {len(table):,} rows, but OpenAI's list has {listed:,}: another subset, or "
            f"cut off. {DECLIP}"
        )
    return table if limit is None else table.slice(0, limit)


def join(
    listing: str | Path,
    metadata: Sequence[str | Path],
    pairs: str | Path,
    *,
    images: str = "multimedia-commons",
    listed: int | None = LISTED,
    limit: int | None = None,
    expected: Expected | None = None,
    min_found: float = 0.98,
) -> dict[str, Any]:
    """Write the address and the captions of each photo of the list.

    Args:
        listing: OpenAI's list.
        metadata: Files of YFCC100M's metadata.
        pairs: The Parquet file to write (photoid, url, captions), in the metadata's order; beside
            it, with the ending ``.json``, what this function returns.
        images: A name of :data:`.yfcc_images.IMAGES`, or an address with any of ``{id}``,
            ``{hash}``, ``{a}`` and ``{b}`` (the hash's first and second three digits), and
            ``{url}`` (Flickr's).
        listed: The number of rows of the list to insist on; ``None`` for any.
        limit: Use only so many photos of the list.
        expected: The number of pairs to insist on, unless there is a limit.
        min_found: Share of the list that the metadata must know.

    Returns:
        ``listed``, ``pairs``, ``left_out`` by reason, ``repaired`` (captions that were not UTF-8)
        and ``sha256`` of identifiers, addresses and captions.

    Raises:
        ValueError: If the metadata knows too little of the list.
    """
    table = read_list(listing, listed=listed, limit=limit)
    order = np.argsort(table["photoid"].to_numpy(), kind="stable")
    photoids, hashes = (
        table["photoid"].to_numpy()[order],
        table["hash"].combine_chunks().take(pa.array(order)),
    )
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()
    rows = _rows(metadata, photoids, hashes, images, counts, digest)
    with atomic_write(pairs) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for batch in _batches(rows):
                writer.write_table(batch)
        found = counts["found"]
        if found < min_found * len(photoids):
            raise ValueError(
                f"the metadata knows {found:,} of the {len(photoids):,} listed photos; at least "
                f"{min_found:.0%} are needed. Is a file of it missing? {DECLIP}"
            )
        if expected and limit is None:
            expected.check(counts["pairs"], f"{listing} joined with its metadata")
    summary = _summary(counts, len(photoids), digest.hexdigest())
    with atomic_write(Path(pairs).with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def _summary(counts: Counter[str], asked: int, sha256: str) -> dict[str, Any]:
    reasons = {
        "listed photos without metadata": asked - counts["found"],
        "videos": counts["videos"],
        "without an address": counts["without an address"],
        "title and description empty": counts["empty"],
    }
    return {
        "listed": asked,
        "pairs": counts["pairs"],
        "left_out": {reason: n for reason, n in reasons.items() if n},
        "repaired": counts["repaired"],
        "sha256": sha256,
    }


def _rows(
    metadata: Sequence[str | Path],
    photoids: np.ndarray,
    hashes: pa.StringArray,
    images: str,
    counts: Counter[str],
    digest: Any,
) -> Iterator[tuple[int, str, list[str]]]:
    seen = np.zeros(len(photoids), bool)
    with tqdm(total=len(photoids), desc="join metadata", unit="photos", delay=5) as bar:
        for path in metadata:
            for photo in read_metadata(path, photoids):
                place = int(np.searchsorted(photoids, photo.photoid))
                if seen[place]:
                    continue
                seen[place] = True
                bar.update()
                row = _pair(photo, hashes[place].as_py(), images, counts)
                if row:
                    digest.update(json.dumps(row).encode())
                    yield row


def _pair(
    photo: Photo, hash_: str, images: str, counts: Counter[str]
) -> tuple[int, str, list[str]] | None:
    counts["found"] += 1
    texts, valid = captions(photo.title, photo.description)
    counts["repaired"] += not valid
    url = address(images, photo.photoid, hash_, photo.url)
    fault = (
        "videos"
        if photo.is_video
        else "without an address"
        if not url
        else ""
        if texts
        else "empty"
    )
    counts[fault or "pairs"] += 1
    return None if fault else (photo.photoid, url, texts)


def _batches(rows: Iterable[tuple[int, str, list[str]]]) -> Iterator[pa.Table]:
    batch: list[tuple[int, str, list[str]]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS:
            yield _table(batch)
            batch = []
    yield _table(batch)


def _table(rows: Sequence[tuple[int, str, list[str]]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
