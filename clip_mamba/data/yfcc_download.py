"""Download a slice of a list of pictures into webdataset shards, as one of many jobs.

Each slice has a folder of its own::

    slice-00012/shards/00000.tar     what img2dataset writes: shards, statistics, failures
    slice-00012/request.json         what was asked for; another request starts the slice anew
    slice-00012/index.json           the slice's index, once it is complete

A job that was killed goes on with the shards that are not complete.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clip_mamba.data import img2dataset
from clip_mamba.data.download import mirrored
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.shard_index import index_shards
from clip_mamba.data.shard_scan import MAX_PIXELS

#: Reasons that are counted one by one; the rest is summed up.
REASONS = 20
#: Seconds in which what a killed job left running should have ended.
PATIENCE = 60.0


@dataclass(frozen=True)
class Download:
    """How pictures are downloaded.

    Attributes:
        image_size: Pictures whose shorter side is longer are scaled down to it; pixels.
        per_shard: Pictures tried per shard.
        processes: Shards at a time.
        threads: Downloads at a time in each process.
        timeout: Seconds to wait for a picture.
        retries: How often to try again.
        min_success: Share of the pictures that must arrive; fewer look like a broken network.
        max_pixels: Larger pictures are left out.
    """

    image_size: int = 256
    per_shard: int = 10_000
    processes: int = 2
    threads: int = 64
    timeout: int = 10
    retries: int = 2
    min_success: float = 0.5
    max_pixels: int = MAX_PIXELS


def slice_rows(rows: int, number: int, slices: int) -> tuple[int, int]:
    """Return the rows of one slice; the slices differ by at most one row.

    Args:
        rows: All rows.
        number: The slice, from 0.
        slices: How many there are.

    Returns:
        The first row and the one behind the last.
    """
    return rows * number // slices, rows * (number + 1) // slices


def download_slice(
    pairs: str | Path,
    folder: str | Path,
    *,
    number: int,
    slices: int,
    python: str | Path,
    settings: Download,
    kind: str = "yfcc15m",
) -> dict[str, Any]:
    """Download one slice and index it.

    Args:
        pairs: Parquet file with ``url``, ``captions`` and ``photoid``; beside it, with the ending
            ``.json``, its ``sha256``.
        folder: The slice's folder.
        number: The slice, from 0.
        slices: How many there are.
        python: The interpreter of img2dataset's environment.
        settings: How to download.
        kind: The kind of the corpus.

    Returns:
        The slice's index.

    Raises:
        FetchError: If img2dataset fails, if another process works on the slice, or if too few
            pictures arrive.
    """
    folder = Path(folder)
    with img2dataset.locked(folder / ".lock", PATIENCE) as lock:
        rows = _rows(pairs, number, slices)
        shards = _prepare(folder, _request(pairs, number, slices, settings))
        wanted = math.ceil(len(rows) / settings.per_shard)
        if len(statistics(shards)) < wanted:
            pq.write_table(rows, folder / "urls.parquet")
            options = _options(folder / "urls.parquet", shards, settings)
            img2dataset.run(python, options, max_pixels=settings.max_pixels, lock=lock)
        done = statistics(shards)
        if len(done) < wanted:
            raise FetchError(
                f"{folder}: {wanted - len(done)} of {wanted} shards are not complete; see "
                "img2dataset's messages above. Run again to go on with them."
            )
        left_out = failures(done.values())
        _insist(folder, done, left_out, settings.min_success)
        (folder / "urls.parquet").unlink(missing_ok=True)
        tars = [path.with_name(f"{path.name.split('_')[0]}.tar") for path in done]
        return index_shards(
            tars,
            folder / "index.json",
            kind=kind,
            processes=settings.processes,
            max_pixels=settings.max_pixels,
            left_out=left_out,
        )


def statistics(shards: Path) -> dict[Path, dict[str, Any]]:
    """Read the statistics that img2dataset writes when a shard is complete.

    Args:
        shards: Its output folder.

    Returns:
        By path, in the order of the shards.
    """
    done = {}
    for path in sorted(shards.glob("*_stats.json")):
        try:
            done[path] = json.loads(path.read_text())
        except ValueError:
            path.unlink()  # cut off: img2dataset does not write it atomically
    return done


def failures(done: Any) -> dict[str, int]:
    """Sum up why pictures are missing.

    Args:
        done: Statistics of shards.

    Returns:
        Reasons with their numbers, the most frequent first.
    """
    counts: Counter[str] = Counter()
    for shard in done:
        for message, number in shard["status_dict"].items():
            if message != "success":
                counts[_reason(message)] += number
        counts["lost by img2dataset"] += shard["count"] - sum(shard["status_dict"].values())
    ranked = (+counts).most_common()
    rest = sum(number for _, number in ranked[REASONS:])
    shown = dict(ranked[:REASONS]) | ({"other": rest} if rest else {})
    return {f"not downloaded: {reason}": number for reason, number in shown.items()}


def _reason(message: str) -> str:
    if "MAX_IMAGE" in message:
        return "too many pixels"
    if message.startswith("OpenCV"):
        return "picture cannot be decoded"
    found = re.sub(r"^<urlopen error (.*)>$", r"\1", message.strip())
    return " ".join(found.split())[:80] or "no reason given"


def _rows(pairs: str | Path, number: int, slices: int) -> pa.Table:
    with pq.ParquetFile(pairs) as file:
        start, stop = slice_rows(file.metadata.num_rows, number, slices)
        chosen, first = [], 0
        for group in range(file.num_row_groups):
            length = file.metadata.row_group(group).num_rows
            if first < stop and first + length > start:
                table = file.read_row_group(group)
                chosen.append(table.slice(max(0, start - first), stop - max(first, start)))
            first += length
    table = pa.concat_tables(chosen) if chosen else pq.read_schema(pairs).empty_table()
    urls = [mirrored(url) for url in table["url"].to_pylist()]
    return table.set_column(table.schema.get_field_index("url"), "url", [urls])


def _request(pairs: str | Path, number: int, slices: int, settings: Download) -> dict[str, Any]:
    table = json.loads(Path(pairs).with_suffix(".json").read_text())
    chosen = asdict(settings)
    kept = {name: chosen[name] for name in ("image_size", "per_shard", "max_pixels")}
    return {"pairs": table["sha256"], "slice": number, "slices": slices, **kept}


def _prepare(folder: Path, request: dict[str, Any]) -> Path:
    """Return the folder of the shards, emptied if it holds those of another request."""
    path, shards = folder / "request.json", folder / "shards"
    if shards.exists() and not (path.exists() and json.loads(path.read_text()) == request):
        print(f"{folder}: the request has changed, so the slice starts anew")
        shutil.rmtree(shards)
    shards.mkdir(parents=True, exist_ok=True)
    img2dataset.write_json(path, request)
    complete = len(statistics(shards))
    if complete:
        print(f"{folder}: {complete} shards are complete already")
    return shards


def _options(urls: Path, shards: Path, settings: Download) -> dict[str, Any]:
    return {
        "url_list": urls,
        "input_format": "parquet",
        "url_col": "url",
        "save_additional_columns": ["captions", "photoid"],
        "output_folder": shards,
        "output_format": "webdataset",
        "number_sample_per_shard": settings.per_shard,
        "image_size": settings.image_size,
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": True,
        "skip_reencode": True,
        "processes_count": settings.processes,
        "thread_count": settings.threads,
        "timeout": settings.timeout,
        "retries": settings.retries,
        "extract_exif": False,
        "compute_hash": None,
        "incremental_mode": "incremental",
    }


def _insist(
    folder: Path, done: dict[Path, dict[str, Any]], left_out: dict[str, int], least: float
) -> None:
    # Refuse a slice of which too little arrived, and forget its bad shards.
    tried = sum(shard["count"] for shard in done.values())
    arrived = sum(shard["successes"] for shard in done.values())
    if arrived >= least * tried:
        return
    for path, shard in done.items():
        if shard["successes"] < least * shard["count"]:
            path.unlink()
    reasons = "; ".join(f"{number} {reason}" for reason, number in list(left_out.items())[:3])
    raise FetchError(
        f"{folder}: only {arrived} of {tried} pictures arrived ({reasons}). Is the network up, and "
        "corpus.images right? Run again to try the missing ones; if the pictures are really gone, "
        f"lower corpus.min_success (now {least})."
    )
