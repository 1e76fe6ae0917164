"""The demo corpus: render every emoji set once, then write the training shards from it."""

import difflib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from clip_mamba.data.captions import captions
from clip_mamba.data.compose import compose
from clip_mamba.data.concepts import Concept, read_concepts, stratified
from clip_mamba.data.drawings import FLUENT_STYLES, STYLES, TRAINING_STYLES, Drawing, Names
from clip_mamba.data.render import render_all, to_png
from clip_mamba.data.shard_index import index_shards
from clip_mamba.data.shards import (
    Sample,
    read_tar,
    to_json,
    write_shards,
    write_tar,
)
from clip_mamba.data.sources import Source, read_sources
from clip_mamba.seeding import generator

#: The held-out style that the zero-shot tasks show.
UNSEEN_STYLE = "fluent-3d"


@dataclass(frozen=True)
class Picture:
    """One rendered drawing of the corpus."""

    style: str
    code: str
    source: str
    png: bytes

    def open(self) -> Image.Image:
        """Decode the picture.

        Returns:
            RGBA.
        """
        return Image.open(io.BytesIO(self.png)).convert("RGBA")


@dataclass(frozen=True)
class Corpus:
    """Everything rendered, and which concepts are held out."""

    concepts: dict[str, Concept]
    held_out: frozenset[str]
    pictures: list[Picture]

    def training(self) -> list[Picture]:
        """Return what a model may see: training styles, no held-out concept."""
        return [
            picture
            for picture in self.pictures
            if picture.style in TRAINING_STYLES and picture.code not in self.held_out
        ]


def check_styles(styles: Sequence[str] | None) -> list[str]:
    """Return the training styles wanted, in the table's order.

    Args:
        styles: Names, or None for all.

    Returns:
        Names of training styles.

    Raises:
        ValueError: If a name is unknown or belongs to the held-out vendor.
    """
    if styles is None:
        return list(TRAINING_STYLES)
    for name in styles:
        if name in FLUENT_STYLES:
            raise ValueError(f"Style {name!r} is held out: models must never be trained on it.")
        if name not in TRAINING_STYLES:
            near = difflib.get_close_matches(name, TRAINING_STYLES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown style {name!r}.{hint} Known: {', '.join(TRAINING_STYLES)}.")
    return [name for name in TRAINING_STYLES if name in styles]


def needed_sources(styles: Sequence[str] | None = None) -> list[str]:
    """Return the downloads that rendering needs.

    Args:
        styles: Training styles, or None for all.

    Returns:
        Names of sources, without repeats.
    """
    wanted = [STYLES[name].source for name in [*check_styles(styles), UNSEEN_STYLE]]
    return list(dict.fromkeys(["emojibase", *wanted]))


def raw_path(raw_dir: str | Path, name: str, sources: dict[str, Source] | None = None) -> Path:
    """Return where a download lies.

    Args:
        raw_dir: The folder of downloads.
        name: The source's name.
        sources: The table; by default the project's.

    Returns:
        Its path.

    Raises:
        ValueError: If it is not there.
    """
    table = read_sources() if sources is None else sources
    path = Path(raw_dir) / table[name].filename
    if not path.exists():
        raise ValueError(f"{path} is missing: fetch {table[name].package} first.")
    return path


def render_corpus(
    raw_dir: str | Path,
    out_path: str | Path,
    *,
    seed: int,
    held_out: float = 0.15,
    limit_concepts: int | None = None,
    styles: Sequence[str] | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Render the training styles and Fluent 3D, and draw the held-out concepts.

    Args:
        raw_dir: The folder of downloads (see :func:`needed_sources`).
        out_path: The tar to write; its first member is ``catalogue.json``.
        seed: The run's seed; it decides which concepts are held out.
        held_out: Share of the concepts to hold out, of each subgroup alike.
        limit_concepts: Use only so many concepts (for tests), of each subgroup alike.
        styles: Training styles to use, or None for all.
        workers: Processes for rendering.

    Returns:
        The catalogue: concepts, held-out codes, styles, drawings left out as blank.
    """
    sources = read_sources()
    names_archive = raw_path(raw_dir, "emojibase", sources)
    concepts = read_concepts(names_archive)
    if limit_concepts is not None and limit_concepts < len(concepts):
        kept = stratified(concepts, limit_concepts, seed, "limit")
        concepts = [concept for concept in concepts if concept.code in kept]
    hidden = stratified(concepts, round(held_out * len(concepts)), seed, "held out", whole=False)
    names = Names(names_archive, concepts)
    drawings: list[Drawing] = []
    chosen = [*check_styles(styles), UNSEEN_STYLE]
    for style in map(STYLES.__getitem__, chosen):
        drawings += style.reader(style, raw_path(raw_dir, style.source, sources), names)
    catalogue: dict[str, Any] = {
        "concepts": [asdict(concept) for concept in concepts],
        "held_out": sorted(hidden),
        "styles": chosen,
        "blank": [],
        "seed": seed,
    }
    done = []
    for drawing, png in render_all(drawings, workers=workers, label="render emoji"):
        if png is None:
            catalogue["blank"].append(drawing.source)
        else:
            done.append((drawing, png))
    write_tar(out_path, _rendered_samples(catalogue, done))
    return catalogue


def _rendered_samples(
    catalogue: dict[str, Any], done: list[tuple[Drawing, bytes]]
) -> Iterator[Sample]:
    yield "catalogue", {"json": to_json(catalogue)}
    for drawing, png in done:
        facts = {"style": drawing.style, "concept": drawing.code, "source": drawing.source}
        yield f"{drawing.style}-{drawing.code}", {"png": png, "json": to_json(facts)}


def read_corpus(path: str | Path) -> Corpus:
    """Read what :func:`render_corpus` wrote.

    Args:
        path: The tar.

    Returns:
        The corpus; its pictures stay encoded until they are opened.

    Raises:
        ValueError: If the tar is truncated or has no catalogue.
    """
    samples = read_tar(path)
    key, files = next(samples, ("", {}))
    if key != "catalogue":
        raise ValueError(f"{path} has no catalogue. Delete it and run the workflow again.")
    catalogue = json.loads(files["json"])
    concepts = [
        Concept(**{**entry, "keywords": tuple(entry["keywords"])})
        for entry in catalogue["concepts"]
    ]
    pictures = []
    for _, files in samples:
        facts = json.loads(files["json"])
        pictures.append(Picture(facts["style"], facts["concept"], facts["source"], files["png"]))
    return Corpus(
        {concept.code: concept for concept in concepts},
        frozenset(catalogue["held_out"]),
        pictures,
    )


def build_training(
    rendered: str | Path, out_dir: str | Path, *, seed: int, image_size: int = 40, copies: int = 1
) -> dict[str, Any]:
    """Write the training shards and their ``index.json``.

    Args:
        rendered: The tar of :func:`render_corpus`.
        out_dir: The folder of the shards.
        seed: The run's seed.
        image_size: Side of the pictures.
        copies: Pairs per drawing, each on its own background with its own captions.

    Returns:
        The index.
    """
    corpus = read_corpus(rendered)
    pictures = corpus.training()
    # Mixed once here, so that a reader of single shards meets all styles and groups.
    order = generator(seed, "shard order").permutation(len(pictures) * copies)
    samples = [
        _training_sample(corpus, pictures[place // copies], int(place % copies), seed, image_size)
        for place in tqdm(order, desc="training shards", unit="pairs", mininterval=1)
    ]
    shards = write_shards(out_dir, samples)
    return index_shards(
        [Path(out_dir) / shard["name"] for shard in shards],
        Path(out_dir) / "index.json",
        kind="emoji",
        checksum="file",
        image_size=image_size,
        concepts=len({picture.code for picture in pictures}),
        styles=sorted({picture.style for picture in pictures}),
        held_out={"styles": list(FLUENT_STYLES), "concepts": sorted(corpus.held_out)},
        seed=seed,
    )


def _training_sample(
    corpus: Corpus, picture: Picture, copy: int, seed: int, image_size: int
) -> Sample:
    concept = corpus.concepts[picture.code]
    rng = generator(seed, "training picture", picture.style, picture.code, copy)
    image = compose(picture.open(), rng, image_size)
    facts = {
        "concept": concept.code,
        "label": concept.label,
        "style": picture.style,
        "subgroup": concept.subgroup,
        "group": concept.group,
        "captions": captions(concept, rng),
        "source": picture.source,
    }
    key = f"{picture.style}-{picture.code}" + (f"-{copy}" if copy else "")
    return key, {"png": to_png(image), "json": to_json(facts)}
