"""A miniature YFCC100M in the real formats, to be served over the loopback."""

import bz2
import gzip
import hashlib
import io
import json
import sqlite3
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from clip_mamba.seeding import generator

HOST = "http://farm9.staticflickr.com/"


def jpeg(number: int, side: int = 48) -> bytes:
    noise = generator(number, "picture").integers(0, 256, (side, side + 8, 3))
    buffer = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def hollow_png(width: int, height: int) -> bytes:
    """A PNG's header and end without pixels, of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    image = chunk(b"IDAT", zlib.compress(bytes(10)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + image + chunk(b"IEND", b"")


#: What is wrong with a photo, by its number. All others are fine.
TROUBLE = {
    1: "dead link",
    4: "dead link",
    5: "no picture",
    7: "cut off",
    8: "zero pixels",
    9: "20,000 pixels",
    10: "both captions empty",
    11: "not in the metadata",
    12: "video",
    13: "not UTF-8",
    14: "empty file",
}
BROKEN = {
    "no picture": b"<html>This photo is no longer available</html>",
    "cut off": jpeg(7)[:900],
    "zero pixels": hollow_png(0, 40),
    "20,000 pixels": hollow_png(20_000, 20_000),
    "empty file": b"",
}
TEXTS = {
    2: ("Tom+%26amp%3B+Jerry+%26lt%3B3", ""),
    3: ("", "See+%3Ca+href%3D%22http%3A%2F%2Fx.org%2Fy%22%3Emy+page%3C%2Fa%3E+at+www.x.org%21"),
    10: ("+%0A", "%3Cb%3E%3C%2Fb%3Ehttp%3A%2F%2Fonly.a.link"),
    13: ("Caf%E9+%FF+bar", "Caf%C3%A9"),
}


class SmallYfcc:
    """List, metadata and pictures of ``count`` photos."""

    def __init__(self, folder: Path, count: int = 40) -> None:
        self.folder, self.count = folder, count
        self.numbers = range(count)
        folder.mkdir(parents=True, exist_ok=True)
        for number in self.numbers:
            self._write_picture(number)
        self._write_list()

    def photoid(self, number: int) -> int:
        return 6_000_000_000 + 7919 * ((number * 13) % self.count)

    def url(self, number: int) -> str:
        return f"{HOST}8/{self.photoid(number)}_ab.jpg"

    def hash(self, number: int) -> str:
        return hashlib.md5(self.url(number).encode()).hexdigest()

    def texts(self, number: int) -> tuple[str, str]:
        return TEXTS.get(number, (f"Photo+{number}%21", f"A+longer+text+on+photo+{number}"))

    def row(self, number: int) -> list[str]:
        """The 25 columns of the later TSV."""
        title, description = self.texts(number)
        before = ["x"] * 5  # user, nickname, dates, device
        after = ["tag,tags", "", "", "", "", "http://www.flickr.com/photos/x/1/", self.url(number)]
        licence = [
            "Attribution License",
            "http://creativecommons.org/",
            "8",
            "9",
            "ab",
            "cd",
            "jpg",
        ]
        video = "1" if TROUBLE.get(number) == "video" else "0"
        ids = [str(1000 + number), str(self.photoid(number)), self.hash(number)]
        # The first of the 23 columns is the identifier itself.
        return [*ids, *before, title, description, *after, *licence, video]

    def known(self) -> list[int]:
        """Photos of the metadata: others than those of the list are there too."""
        return [n for n in self.numbers if TROUBLE.get(n) != "not in the metadata"]

    def _write_picture(self, number: int) -> None:
        trouble = TROUBLE.get(number, "")
        if trouble == "dead link":
            return
        path = self.folder / self.url(number).removeprefix(HOST)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BROKEN[trouble] if trouble in BROKEN else jpeg(number))

    def _write_list(self) -> None:
        lines = [f"{1000 + n}\t{self.photoid(n)}\t{self.hash(n)}\n" for n in self.numbers]
        packed = bz2.compress("".join(lines).encode())
        (self.folder / "yfcc100m_subset_data.tsv.bz2").write_bytes(packed)

    def write_tsv(self, name: str, columns: int = 25) -> Path:
        """The metadata with 23 or 25 columns, strangers and a broken line among them."""
        rows = [self.row(number) for number in self.known()]
        stranger = ["999", "123", "ff", *rows[0][3:]]
        rows = [stranger, *rows]
        if columns == 23:
            rows = [[row[1], *row[3:]] for row in rows]
        text = "\n".join(["\t".join(row) for row in rows] + ["cut\toff"]).encode("latin-1")
        path = self.folder / name
        packers = {".bz2": bz2.compress, ".gz": gzip.compress}
        path.write_bytes(packers.get(path.suffix, bytes)(text))
        return path

    def write_sqlite(self, name: str = "yfcc100m_dataset.sql") -> Path:
        path = self.folder / name
        with sqlite3.connect(path) as database:
            database.execute(
                "CREATE TABLE yfcc100m_dataset (photoid INTEGER PRIMARY KEY, title TEXT, "
                "description TEXT, downloadurl TEXT, marker TEXT)"
            )
            rows = [self.row(n) for n in self.known()]
            values = [(int(r[1]), r[8], r[9], r[16], r[24]) for r in rows]
            database.executemany("INSERT INTO yfcc100m_dataset VALUES (?, ?, ?, ?, ?)", values)
        database.close()
        return path

    def write_json(self, name: str = "metadata_000.jsonl.gz") -> Path:
        path = self.folder / name
        lines = []
        for row in (self.row(n) for n in self.known()):
            facts = {"photoid": int(row[1]), "title": row[8], "description": row[9]}
            lines.append(json.dumps(facts | {"downloadurl": row[16], "marker": int(row[24])}))
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        return path
