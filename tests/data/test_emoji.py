import json
from collections import Counter

import numpy as np
import pytest

from clip_mamba.data.concepts import Concept, stratified
from clip_mamba.data.drawings import FLUENT_STYLES, TRAINING_STYLES
from clip_mamba.data.emoji import (
    build_training,
    check_styles,
    needed_sources,
    read_corpus,
    render_corpus,
)
from clip_mamba.data.shards import read_training

STYLES = ["noto", "noto-v1"]


def test_no_held_out_style_or_concept_is_in_the_training_shards(training, rendered):
    corpus, index = read_corpus(rendered), json.loads(training.read_text())
    data = read_training(training)
    assert len(data.metadata) == index["pairs"] > 0
    assert not {facts["style"] for facts in data.metadata} & set(FLUENT_STYLES)
    trained = {facts["concept"] for facts in data.metadata}
    assert not trained & corpus.held_out
    assert index["held_out"]["concepts"] == sorted(corpus.held_out)
    assert trained | corpus.held_out == set(corpus.concepts)


def test_held_out_concepts_are_stratified_by_subgroup(rendered):
    corpus = read_corpus(rendered)
    assert len(corpus.held_out) == round(0.15 * 40)
    hidden = Counter(corpus.concepts[code].subgroup for code in corpus.held_out)
    assert all(1 <= hidden[subgroup] <= 2 for subgroup in hidden)
    assert len(hidden) == 4


def test_no_subgroup_is_held_out_completely():
    lonely = [Concept(f"{n}", f"{n}", (), f"subgroup {n}", "group") for n in range(9)]
    pair = [Concept(f"p{n}", f"p{n}", (), "pair", "group") for n in range(2)]
    drawn = stratified([*lonely, *pair], 5, 0, "held out", whole=False)
    assert drawn <= {"p0", "p1"} and len(drawn) == 1


def test_flags_and_skin_tones_are_left_out(rendered):
    concepts = read_corpus(rendered).concepts.values()
    assert not [concept for concept in concepts if "flag" in concept.label]
    assert len(concepts) == 40


def test_blank_drawing_is_dropped_and_named(raw_dir, tmp_path):
    catalogue = render_corpus(raw_dir, tmp_path / "r.tar", seed=3, styles=STYLES)
    assert catalogue["blank"] == ["noto-v1:fruit-number-3"]


def test_same_seed_gives_the_same_bytes_and_another_seed_other_ones(raw_dir, tmp_path):
    digests = []
    for number, (seed, workers) in enumerate([(3, 1), (3, 2), (4, 1)]):
        rendered = tmp_path / f"{number}.tar"
        render_corpus(raw_dir, rendered, seed=seed, styles=STYLES, workers=workers)
        index = build_training(rendered, tmp_path / str(number), seed=seed)
        digests.append([shard["sha256"] for shard in index["shards"]])
    assert digests[0] == digests[1] != digests[2]


def test_limit_keeps_every_subgroup(raw_dir, tmp_path):
    render_corpus(raw_dir, tmp_path / "r.tar", seed=3, styles=["noto"], limit_concepts=20)
    corpus = read_corpus(tmp_path / "r.tar")
    assert len(corpus.concepts) == 20 and len(corpus.held_out) == 3
    assert len({concept.subgroup for concept in corpus.concepts.values()}) == 4


def test_copies_differ_in_background_and_captions(rendered, tmp_path):
    build_training(rendered, tmp_path, seed=3, copies=2)
    data = read_training(tmp_path / "index.json")
    same = [
        i for i, facts in enumerate(data.metadata) if facts["source"] == data.metadata[0]["source"]
    ]
    assert len(same) == 2
    assert not np.array_equal(data.images[same[0]], data.images[same[1]])


def test_pictures_are_rgb_squares_that_show_something(training):
    images = read_training(training).images
    assert images.shape[1:] == (40, 40, 3) and images.dtype == np.uint8
    assert (images.reshape(len(images), -1).std(axis=1) > 5).all()


def test_wrong_styles_are_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="held out"):
        check_styles(["fluent-3d"])
    with pytest.raises(ValueError, match="Did you mean 'twemoji'"):
        check_styles(["twemojy"])
    assert check_styles(None) == list(TRAINING_STYLES)
    assert needed_sources(["openmoji-black"]) == ["emojibase", "openmoji", "fluent-3d"]


def test_missing_download_is_named(tmp_path):
    with pytest.raises(ValueError, match="emojibase-data"):
        render_corpus(tmp_path, tmp_path / "r.tar", seed=0)
