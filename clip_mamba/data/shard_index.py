"""The index of a corpus: every pair of its shards with the place of its picture and captions.

``index.json`` names the shards with their checksums and says what was left out and why;
``samples.parquet`` beside it has one row per pair, in the order of the shards and of the tars:

=================  ======  ====================================================
shard              int32   position in the index's list of shards
key                string  the sample's key, unique within its shard
image_offset       int64   where the encoded picture begins in the tar, bytes
image_size         int64   its length in bytes
caption_offset     int64   where the member with the captions begins
caption_size       int64   its length in bytes
caption_format     string  ``json`` ({"captions": [...]}) or ``txt`` (one caption)
=================  ======  ====================================================

A shard's checksum covers the tar's length and the name, offset and length of each member
(``"checksum": "members"``), not the pictures themselves: reading terabytes again before each
training would cost more than it protects, and a damaged picture is noticed when it is decoded.
For the small demo corpus, whose bytes are the same on every machine, it is the SHA-256 of the whole
file (``"checksum": "file"``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from clip_mamba.data.expected import Expected
from clip_mamba.data.shard_scan import MAX_PIXELS, Row, ShardScan, scan_shard
from clip_mamba.data.shards import digest
from clip_mamba.files import atomic_write, sha256

SCHEMA = pa.schema([
    ("shard", pa.int32()),
    ("key", pa.string()),
    ("image_offset", pa.int64()),
    ("image_size", pa.int64()),
    ("caption_offset", pa.int64()),
    ("caption_size", pa.int64()),
    ("caption_format", pa.string()),
])


def index_shards(
    shards: Sequence[str | Path],
    index_path: str | Path,
    *,
    kind: str,
    processes: int = 1,
    max_pixels: int = MAX_PIXELS,
    expected: Expected | None = None,
    limit: int | None = None,
    left_out: Mapping[str, int] | None = None,
    checksum: Literal["members", "file"] = "members",
    **facts: Any,
) -> dict[str, Any]:
    """Look at every sample of webdataset shards and write ``index.json`` and ``samples.parquet``.

    A ``ValueError`` of one line names a shard that is missing, truncated or no tar, or says that
    no pair or another number of pairs than expected is left; then neither file is written.

    Args:
        shards: Uncompressed tars. Those below the index's folder are named relative to it.
        index_path: Where ``index.json`` goes.
        kind: The kind of the corpus.
        processes: Shards that are read at a time.
        max_pixels: Larger pictures are left out.
        expected: The number of pairs to insist on.
        limit: Use only so many pairs, from the beginning.
        left_out: What an earlier step left out, by reason; added to what is left out here.
        checksum: What the shards' checksums cover, see the module's description.
        **facts: More entries for the index.

    Returns:
        The index.
    """
    index_path = Path(index_path)
    paths = [Path(path).absolute() for path in shards]
    entries: list[dict[str, Any]] = []
    counts = Counter(left_out or {})
    with atomic_write(index_path.with_name("samples.parquet")) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for scan in _first(limit, _scan_all(paths, processes, max_pixels)):
                writer.write_table(_table(len(entries), scan.rows))
                entries.append(_entry(scan, index_path, checksum))
                counts.update(scan.left_out)
        index = _index(kind, entries, counts, facts | {"checksum": checksum})
        _insist(index, index_path, expected)
    return _save(index, index_path)


def merge_indices(
    parts: Sequence[str | Path],
    index_path: str | Path,
    *,
    kind: str,
    expected: Expected | None = None,
    left_out: Mapping[str, int] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """Join the indices of parts of a corpus, which several machines made, to one.

    A ``ValueError`` says that no pair or another number of pairs than expected is left.

    Args:
        parts: ``index.json`` of each part, in order.
        index_path: Where the joint ``index.json`` goes.
        kind: The kind of the corpus.
        expected: The number of pairs to insist on.
        left_out: What was left out before the parts were made.
        **facts: More entries for the index.

    Returns:
        The joint index.
    """
    index_path = Path(index_path)
    entries: list[dict[str, Any]] = []
    counts = Counter(left_out or {})
    checksums: set[str] = set()
    with atomic_write(index_path.with_name("samples.parquet")) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for part in tqdm([Path(p) for p in parts], desc="join", unit="parts", delay=5):
                table = json.loads(part.read_text())
                checksums.add(table["checksum"])
                _append(writer, part.with_name("samples.parquet"), len(entries))
                counts.update(table["left_out"])
                for shard in table["shards"]:
                    path = (part.parent / shard["name"]).absolute()
                    entries.append(shard | {"name": _name(path, index_path)})
        index = _index(kind, entries, counts, facts | {"checksum": " and ".join(checksums)})
        _insist(index, index_path, expected)
    return _save(index, index_path)


def check_shards(index_path: str | Path, *, whole: bool = False) -> dict[str, Any]:
    """Refuse a corpus whose shards are not those of its index.

    Args:
        index_path: ``index.json``.
        whole: Compare the checksums too, which reads every member's header; without it the
            lengths are compared, which finds missing and truncated files in no time.

    Returns:
        The index.

    Raises:
        ValueError: If a shard is missing or differs; the message names it.
    """
    index_path = Path(index_path)
    index: dict[str, Any] = json.loads(index_path.read_text())
    for shard in index["shards"]:
        path = index_path.parent / shard["name"]
        if not path.exists():
            raise ValueError(
                f"{path} is missing, but {index_path} lists it. Restore it, or delete the index "
                "and run the workflow again."
            )
        size = path.stat().st_size
        if size != shard["bytes"]:
            raise ValueError(
                f"{path} is truncated or altered: {size} bytes, expected {shard['bytes']}. "
                f"Restore it, or delete it and {index_path} and run the workflow again."
            )
        if whole and _checksum(path, index["checksum"]) != shard["sha256"]:
            raise ValueError(
                f"{path} is altered: its members are not those of {index_path}. Delete both and "
                "run the workflow again."
            )
    return index


def _table(shard: int, rows: Sequence[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * (len(SCHEMA) - 1)
    arrays = [pa.array([shard] * len(rows), pa.int32())]
    arrays += [
        pa.array(values, field.type)
        for values, field in zip(columns, list(SCHEMA)[1:], strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _append(writer: pq.ParquetWriter, samples: Path, first: int) -> None:
    """Append another index's samples; its first shard gets the number ``first``."""
    with pq.ParquetFile(samples) as file:
        for batch in file.iter_batches(1 << 18):
            shard = pc.add(batch.column("shard"), pa.scalar(first, pa.int32()))
            writer.write_batch(
                pa.RecordBatch.from_arrays([shard, *batch.columns[1:]], schema=SCHEMA)
            )


def _scan_all(paths: list[Path], processes: int, max_pixels: int) -> Iterator[ShardScan]:
    scan = partial(scan_shard, max_pixels=max_pixels)
    progress = partial(tqdm, total=len(paths), desc="index", unit="shards", delay=5)
    if processes == 1 or len(paths) == 1:
        yield from progress(map(scan, paths))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from progress(pool.map(scan, paths))


def _first(limit: int | None, scans: Iterator[ShardScan]) -> Iterator[ShardScan]:
    # Ends with the shard in which the limit is reached, whose other pairs do not count.
    pairs = 0
    for scan in scans:
        if limit is not None and pairs + len(scan.rows) >= limit:
            scan.rows = scan.rows[: limit - pairs]
            yield scan
            return
        pairs += len(scan.rows)
        yield scan


def _entry(scan: ShardScan, index_path: Path, checksum: str) -> dict[str, Any]:
    return {
        "name": _name(scan.path, index_path),
        "sha256": scan.sha256 if checksum == "members" else sha256(scan.path),
        "pairs": len(scan.rows),
        "bytes": scan.bytes,
    }


def _checksum(path: Path, kind: str) -> str:
    return sha256(path) if kind == "file" else scan_shard(path, check=False).sha256


def _name(path: Path, index_path: Path) -> str:
    folder = index_path.parent.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _index(
    kind: str, shards: list[dict[str, Any]], left_out: Mapping[str, int], facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind,
        "pairs": sum(shard["pairs"] for shard in shards),
        "left_out": dict(sorted(left_out.items(), key=lambda item: (-item[1], item[0]))),
        **facts,
        "sha256": digest(shards),
        "shards": shards,
    }


def _insist(index: Mapping[str, Any], index_path: Path, expected: Expected | None) -> None:
    if not index["pairs"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in index["left_out"].items())
        raise ValueError(f"{index_path}: no pair is left (left out: {reasons or 'nothing'}).")
    if expected:
        expected.check(index["pairs"], str(index_path))


def _save(index: dict[str, Any], index_path: Path) -> dict[str, Any]:
    with atomic_write(index_path) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n")
    return index


def report(index: Mapping[str, Any]) -> Iterable[str]:
    """Describe an index in lines for a log.

    Args:
        index: What :func:`index_shards` returned.

    Yields:
        Lines.
    """
    size = sum(shard["bytes"] for shard in index["shards"])
    yield f"{index['pairs']:,} pairs in {len(index['shards']):,} shards, {size / 1e9:.2f} GB"
    for reason, count in index["left_out"].items():
        yield f"  left out: {count:,} {reason}"
