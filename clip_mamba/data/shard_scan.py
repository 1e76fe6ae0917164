"""One look at a webdataset shard: where its pairs lie, and which are of no use."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image

#: Extensions of pictures, in the order in which they are preferred.
PICTURES = ("jpg", "jpeg", "png", "webp")
#: Pillow warns of larger pictures: they cost gigabytes to decode.
MAX_PIXELS = 89_478_485
BLOCK = 512
#: End marks of the formats; a file that lacks its own was cut off.
END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}

#: key, image offset, image size, caption offset, caption size, caption format
Row = tuple[str, int, int, int, int, str]


@dataclass(frozen=True)
class Member:
    """A file in a tar."""

    name: str
    offset: int  # of the content, bytes
    size: int  # bytes

    @property
    def key(self) -> str:
        """The sample it belongs to: the path up to the file name's first dot."""
        folder, slash, name = self.name.rpartition("/")
        return folder + slash + name.partition(".")[0]

    @property
    def extension(self) -> str:
        """What follows the file name's first dot, in lower case."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()


@dataclass
class ShardScan:
    """What one shard holds."""

    path: Path
    bytes: int
    sha256: str
    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def scan_shard(path: str | Path, *, max_pixels: int = MAX_PIXELS, check: bool = True) -> ShardScan:
    """List the pairs of a shard; pictures are identified but not decoded.

    Raises what :func:`members` does.

    Args:
        path: An uncompressed tar in webdataset's layout.
        max_pixels: Larger pictures are left out.
        check: Look into pictures and captions; without it only the checksum is made.

    Returns:
        Its pairs, its checksum (of its length and its members' names, offsets and lengths), and
        counts of what is left out by reason.
    """
    path = Path(path)
    found = members(path)
    text = hashlib.sha256()
    for member in found:
        text.update(f"{member.name}\0{member.offset}\0{member.size}\n".encode())
    size = path.stat().st_size
    text.update(str(size).encode())
    scan = ShardScan(path, size, text.hexdigest())
    if check:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on large pictures and odd metadata
            for files in _samples(found):
                row = _row(file, files, max_pixels)
                if isinstance(row, str):
                    scan.left_out[row] += 1
                else:
                    scan.rows.append(row)
    return scan


def members(path: Path) -> list[Member]:
    """List the files of a tar, and make sure that it is whole.

    Args:
        path: The tar.

    Returns:
        Its files in order.

    Raises:
        ValueError: If it is missing, truncated or no uncompressed tar.
    """
    if not path.exists():
        raise ValueError(f"the shard {path} is missing.")
    try:
        with tarfile.open(path, "r:") as tar:
            found = [Member(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
            end = tar.offset  # where the end mark, blocks of zeros, should be
    except tarfile.TarError as error:
        raise ValueError(
            f"the shard {path} is truncated or no uncompressed tar ({error}). "
            "Fetch or write it again; a compressed one has to be unpacked to a plain .tar first."
        ) from None
    with open(path, "rb") as file:
        file.seek(end)
        if file.read(BLOCK) != bytes(BLOCK):
            raise ValueError(
                f"the shard {path} is truncated: its end mark is missing after {len(found)} files. "
                "Fetch or write it again."
            )
    return found


def _samples(found: list[Member]) -> Iterator[list[Member]]:
    files: list[Member] = []
    for member in found:
        if files and member.key != files[0].key:
            yield files
            files = []
        files.append(member)
    if files:
        yield files


def _row(file: BinaryIO, files: list[Member], max_pixels: int) -> Row | str:
    by_extension = {member.extension: member for member in files}
    picture = next((by_extension[e] for e in PICTURES if e in by_extension), None)
    if picture is None:
        return "samples without a picture"
    caption = _caption(file, by_extension)
    if isinstance(caption, str):
        return caption
    fault = _fault(_content(file, picture), max_pixels)
    if fault:
        return fault
    member = caption
    kind = "json" if member.extension == "json" else "txt"
    return picture.key, picture.offset, picture.size, member.offset, member.size, kind


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)


def _caption(file: BinaryIO, by_extension: dict[str, Member]) -> Member | str:
    """Return the member whose captions count, or why there is none."""
    fault = "samples without a caption"
    for extension in ("json", "txt"):
        if extension not in by_extension:
            continue
        try:
            if has_caption(_content(file, by_extension[extension]), extension):
                return by_extension[extension]
        except UnicodeDecodeError:
            fault = "captions that are not UTF-8"
        except ValueError:
            fault = "captions that are no JSON"
    return fault


def has_caption(content: bytes, extension: str) -> bool:
    """Tell whether a member holds at least one caption that is not blank.

    Args:
        content: The member.
        extension: ``json`` or ``txt``.

    Returns:
        Whether it does; JSON without a list ``captions`` does not.
    """
    if extension == "txt":
        return bool(content.decode().strip())
    facts = json.loads(content.decode())
    captions = facts.get("captions") if isinstance(facts, dict) else None
    return isinstance(captions, list) and any(isinstance(c, str) and c.strip() for c in captions)


def _fault(content: bytes, max_pixels: int) -> str | None:
    if not content:
        return "empty pictures"
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels, kind = image.size[0] * image.size[1], image.format or ""
    except Image.DecompressionBombError:
        return "pictures with too many pixels"
    except (OSError, ValueError, SyntaxError):
        return "unreadable pictures"
    if pixels > max_pixels:
        return "pictures with too many pixels"
    mark = END_MARKS.get(kind)
    cut = mark is not None and content.rfind(mark) < 0
    if kind == "WEBP":
        cut = int.from_bytes(content[4:8], "little") + 8 > len(content)
    return "truncated pictures" if cut else None
