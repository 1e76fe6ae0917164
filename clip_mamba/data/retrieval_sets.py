"""Image-text retrieval sets: what ``retrieval.json`` says, and how a mirror becomes one.

On disk a set is a folder with ``retrieval.json`` and ``test.tar``; a sample is ``<key>.jpg`` (or
``png``, ``webp``) and ``<key>.json`` with ``{"captions": [...]}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from clip_mamba.data.described import Described
from clip_mamba.data.shards import Sample, to_json, write_tar
from clip_mamba.data.zeroshot_sets import mirrors
from clip_mamba.data.zeroshot_sets.files import check_manifest, write_manifest
from clip_mamba.data.zeroshot_sets.pictures import find_image, judge, proven, safe_key
from clip_mamba.data.zeroshot_sets.table import find_retrieval
from clip_mamba.files import sha256


class RetrievalSet(Described):
    """A retrieval set, as in ``retrieval.json``."""

    FILE = "retrieval.json"

    name: str
    title: str
    split: str
    images: int = Field(gt=0)
    captions: int = Field(gt=0)
    unreadable: int = Field(default=0, ge=0, description="pictures left out")
    note: str | None = None
    licence: str
    source: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of test.tar")


def fetch_retrieval(name: str, manifest: str | Path) -> None:
    """Download a set's test split, or what is left of it.

    Args:
        name: A set of ``data/retrieval.tsv``.
        manifest: The list of files to write, last of all; the files go beside it.
    """
    folder = Path(manifest).parent
    write_manifest(manifest, mirrors.fetch_shards(find_retrieval(name).source, "test", folder))


def prepare_retrieval(name: str, out_dir: str | Path, *, manifest: str | Path) -> RetrievalSet:
    """Write ``test.tar`` and ``retrieval.json``.

    Args:
        name: A set of ``data/retrieval.tsv``.
        out_dir: Where they go.
        manifest: What :func:`fetch_retrieval` wrote.

    Returns:
        The set.
    """
    entry, counted = find_retrieval(name), _Counted(name)
    tar = Path(out_dir) / "test.tar"
    images = write_tar(tar, counted.samples(check_manifest(manifest)))
    note = [entry.note] if entry.note else []
    if (images, counted.captions) != (entry.images, entry.captions):
        note.append(
            f"{images} pictures and {counted.captions} captions where {entry.images} and "
            f"{entry.captions} were expected"
        )
        print(f"{name}: WARNING: {note[-1]}")
    found = RetrievalSet(
        name=name,
        title=entry.title,
        split=entry.split,
        images=images,
        captions=counted.captions,
        unreadable=len(counted.unreadable),
        note="; ".join(note) or None,
        licence=entry.licence,
        source=entry.source,
        sha256=sha256(tar),
    )
    found.write(Path(out_dir) / RetrievalSet.FILE)
    return found


@dataclass
class _Counted:
    """Counts pictures and captions on their way into the tar."""

    name: str
    captions: int = 0
    unreadable: list[str] = field(default_factory=list)

    def samples(self, folder: Path) -> Iterator[Sample]:
        passed = 0
        for key, files in mirrors.read_split("test", folder):
            safe_key(self.name, key)
            found, captions = find_image(files), _captions(files.get("txt", b""))
            problem = proven(found[1]) if found else "no picture"
            if found is None or problem or not captions:
                self.unreadable.append(f"{key} ({problem or 'no caption'})")
                continue
            passed += 1
            self.captions += len(captions)
            yield key, {found[0]: found[1], "json": to_json({"captions": captions})}
        judge(self.name, passed, self.unreadable)


def _captions(text: bytes) -> list[str]:
    # One a line; the mirrors write a line break inside a caption as backslash and n.
    lines = text.decode().splitlines()
    captions = [line.replace("\\n", " ").strip() for line in lines]
    return [caption for caption in captions if caption]
