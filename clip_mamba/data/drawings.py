"""Read drawings of emoji out of their packages: one SVG, picture or glyph per concept and style."""

import io
import json
import re
import tarfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clip_mamba.data.concepts import Concept, plain_code, read_member, read_members

Kind = Literal["colour", "line"]


@dataclass(frozen=True)
class Drawing:
    """One drawing before it is rendered: an SVG text, the bytes of a picture, or font glyphs."""

    style: str
    code: str
    source: str
    svg: str = ""
    picture: bytes = b""
    glyphs: str = ""
    font: str = ""


@dataclass(frozen=True)
class Style:
    """A way of drawing: which package it comes from and how it is read."""

    name: str
    source: str
    kind: Kind
    reader: Callable[["Style", Path, "Names"], Iterator[Drawing]]
    folder: str = ""


class Names:
    """Finds the concept a set means by an icon's name, for sets without a code point table."""

    def __init__(self, archive: str | Path, concepts: list[Concept]) -> None:
        """Collect labels, Unicode names and shortcodes.

        Args:
            archive: The ``emojibase-data`` package.
            concepts: The concepts wanted; a name of any other emoji finds nothing.
        """
        self.codes = {concept.code for concept in concepts}
        self._by_name: dict[str, str] = {}
        for concept in concepts:
            self._add(concept.label, concept.code)
        tables = ["meta/unicode-names.json"]
        tables += [f"en/shortcodes/{name}.json" for name in SHORTCODES]
        files = read_members(archive, tables)
        for table in tables:
            for hexcode, names in json.loads(files[table]).items():
                if (code := plain_code(hexcode)) in self.codes:
                    for name in [names] if isinstance(names, str) else names:
                        self._add(name, code)
        for concept in concepts:
            # Old sets say "grinning cat face" and "flexed biceps sign"; the label wins above.
            for word in ("face", "sign", "symbol", "button"):
                self._add(f"{concept.label} {word}", concept.code)

    def _add(self, name: str, code: str) -> None:
        self._by_name.setdefault(squeeze(name), code)

    def find(self, name: str) -> str | None:
        """Return the code of a name in whatever spelling.

        Args:
            name: An icon's name, e.g. ``"statueofliberty"``.

        Returns:
            The code of its concept, or None.
        """
        return self._by_name.get(squeeze(name))


#: From the most to the least faithful to Unicode's own words.
SHORTCODES = ("cldr", "emojibase", "joypixels", "github", "iamcal", "emojibase-legacy")


def squeeze(name: str) -> str:
    """Return letters and digits only, so that spellings with and without hyphens agree.

    Args:
        name: Any name.

    Returns:
        Its lower-case letters and digits.
    """
    ascii_name = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_name.replace("&", "and"))


def iconify_svgs(archive: str | Path) -> dict[str, str]:
    """Read an icon set in Iconify's format as complete SVG texts.

    Args:
        archive: An ``@iconify-json/...`` package.

    Returns:
        Icon name to SVG; aliases are left out (they repeat a drawing).
    """
    icons = json.loads(read_member(archive, "icons.json"))
    svgs = {}
    for name, icon in icons["icons"].items():
        box = [
            icon.get(key, icons.get(key, default))
            for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        ]
        view = " ".join(map(str, box))
        svgs[name] = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{view}" width="{box[2]}" height="{box[3]}" color="#000">'
            f"{icon['body']}</svg>"
        )
    return svgs


def _iconify_codes(archive: Path, svgs: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return icon name by code, from the set's own table or else by name."""
    try:
        chars = json.loads(read_member(archive, "chars.json"))
    except ValueError:
        chars = {}
    if chars:
        found = {plain_code(code): name for code, name in chars.items()}
        return {code: name for code, name in found.items() if code in names.codes}
    by_code: dict[str, str] = {}
    for name in svgs:
        # Streamline numbers its variants: those of people are skin tones, so keep the first.
        code = names.find(name) or names.find(re.sub(r"-1$", "", name))
        if code is not None:
            by_code.setdefault(code, name)
    return by_code


def read_iconify(style: Style, archive: Path, names: Names) -> Iterator[Drawing]:
    """Read an Iconify set.

    Args:
        style: The style.
        archive: Its package.
        names: The concepts wanted.

    Yields:
        One drawing per concept found.
    """
    svgs = iconify_svgs(archive)
    for code, name in _iconify_codes(archive, svgs, names).items():
        if name in svgs:
            yield Drawing(style.name, code, f"{style.source}:{name}", svg=svgs[name])


def read_files(style: Style, archive: Path, names: Names) -> Iterator[Drawing]:
    """Read a package that holds one file per code point sequence.

    Args:
        style: The style; ``folder`` is where the files are.
        archive: Its package.
        names: The concepts wanted.

    Yields:
        One drawing per concept found.
    """
    seen: set[str] = set()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if str(path.parent) != f"package/{style.folder}":
                continue
            code = plain_code(path.stem)
            file = tar.extractfile(member)
            if code not in names.codes or code in seen or file is None:
                continue
            seen.add(code)
            source = f"{style.source}:{style.folder}/{path.name}"
            if path.suffix == ".svg":
                yield Drawing(style.name, code, source, svg=file.read().decode())
            else:
                yield Drawing(style.name, code, source, picture=file.read())


def read_font(style: Style, archive: Path, names: Names) -> Iterator[Drawing]:
    """Draw every concept with an emoji font; a concept the font lacks renders as a box.

    Args:
        style: The style; ``folder`` is the font's path in the package.
        archive: Its package.
        names: The concepts wanted.

    Yields:
        One drawing per concept whose code points are all in the font.
    """
    from fontTools.ttLib import TTFont

    known = TTFont(io.BytesIO(read_member(archive, style.folder))).getBestCmap()
    for code in sorted(names.codes):
        points = [int(part, 16) for part in code.split("-")]
        if all(point in known for point in points):
            text = "".join(map(chr, points))
            yield Drawing(
                style.name, code, f"{style.source}:{code}", glyphs=text, font=str(archive)
            )


_FONT = "400Regular/NotoEmoji_400Regular.ttf"
#: Every style a model may be trained on.
TRAINING_STYLES = {
    style.name: style
    for style in (
        Style("noto", "noto", "colour", read_iconify),
        Style("noto-v1", "noto-v1", "colour", read_iconify),
        Style("noto-font", "noto-font", "line", read_font, _FONT),
        Style("twemoji", "twemoji", "colour", read_iconify),
        Style("openmoji", "openmoji", "colour", read_files, "color/svg"),
        Style("openmoji-black", "openmoji", "line", read_files, "black/svg"),
        Style("emojione", "emojione", "colour", read_iconify),
        Style("emojione-v1", "emojione-v1", "colour", read_iconify),
        Style("emojione-monotone", "emojione-monotone", "line", read_iconify),
        Style("fxemoji", "fxemoji", "colour", read_iconify),
        Style("streamline-emojis", "streamline-emojis", "colour", read_iconify),
    )
}
#: One vendor, held out whole: 44 % of its drawings are near-duplicates of each other.
FLUENT_STYLES = {
    style.name: style
    for style in (
        Style("fluent-3d", "fluent-3d", "colour", read_files, "assets"),
        Style("fluent-flat", "fluent-flat", "colour", read_iconify),
        Style("fluent-high-contrast", "fluent-high-contrast", "line", read_iconify),
    )
}
STYLES = TRAINING_STYLES | FLUENT_STYLES
