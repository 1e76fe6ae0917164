"""The demo's sets: naming, pairing, reproducibility, and what the pictures show."""

import json

import numpy as np
import pandas as pd
import pytest

from clip_mamba import stimuli
from clip_mamba.corruptions import CONDITIONS
from clip_mamba.data.shards import read_tar
from clip_mamba.files import sha256
from clip_mamba.ood.trials import base_image, image_id, texture_category
from clip_mamba.stimuli import CATEGORIES, make_stimuli, read_stimuli
from tests.ood_objects import DEMO_LEVELS, write_bases


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return write_bases(tmp_path_factory.mktemp("base") / "base.tar")


@pytest.fixture(scope="module")
def sets(bases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stimuli")
    paths = {}
    for condition in CONDITIONS:
        paths[condition] = folder / f"{condition}.tar"
        make_stimuli(
            bases, condition, DEMO_LEVELS[condition], image_size=32, seed=1,
            out_path=paths[condition], per_category=5,
        )  # fmt: skip
    return paths


def pixels(stimulus):
    return np.asarray(stimulus.image, dtype=np.float32) / 255


def test_every_level_has_every_category_equally_often(sets):
    for condition, path in sets.items():
        read = read_stimuli(path)
        assert len(read) == 5 * 16 * len(DEMO_LEVELS[condition])
        for level in DEMO_LEVELS[condition]:
            of_level = [s.category for s in read if s.level == level]
            assert of_level == [name for name in CATEGORIES for _ in range(5)]
        assert {s.image.size for s in read} == {(32, 32)}


def test_names_are_those_of_the_benchmark(sets):
    for condition, path in sets.items():
        read = read_stimuli(path)
        ids = [image_id(s.imagename) for s in read]
        assert len(set(ids)) == len(ids), condition
        for number, stimulus in enumerate(read, 1):
            fields = stimulus.imagename.split("_")
            assert len(fields) == 7
            assert int(fields[0]) == number
            assert fields[3] == stimulus.level
            assert fields[4] == stimulus.category
            assert base_image(stimulus.imagename).startswith(stimulus.category)


def test_the_same_composites_in_every_condition(sets):
    shown = {}
    for condition in ("contrast", "high-pass", "rotation", "power-equalisation"):
        read = read_stimuli(sets[condition])
        first = DEMO_LEVELS[condition][0]
        shown[condition] = [s.png for s in read if s.level == first]
    assert len(set(map(tuple, shown.values()))) == 1
    grey = [s.png for s in read_stimuli(sets["colour"]) if s.level == "bw"]
    assert grey == shown["contrast"]


def test_equal_arguments_give_equal_bytes(bases, tmp_path):
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / name
        make_stimuli(
            bases, "eidolonII", ["1-3-2"], image_size=32, seed=seed, out_path=path, per_category=2
        )
        digests.append(sha256(path))
    assert digests[0] == digests[1] != digests[2]


def test_several_composites_of_one_object_differ(sets):
    read = [s for s in read_stimuli(sets["colour"]) if s.level == "cr" and s.category == "dog"]
    assert len({s.base for s in read}) == 3
    assert len({s.png for s in read}) == 5
    assert sorted(base_image(s.imagename) for s in read) != [s.imagename for s in read]


def test_objects_stand_out_in_grey(sets):
    read = [s for s in read_stimuli(sets["contrast"]) if s.level == "c100"]
    assert np.median([pixels(s).std() for s in read]) > 0.1


def test_cue_conflicts_conflict(sets):
    read = read_stimuli(sets["cue-conflict"])
    for stimulus in read:
        assert stimulus.texture != stimulus.category
        assert texture_category(stimulus.imagename) == stimulus.texture
    textures = [s.texture for s in read]
    assert max(textures.count(name) for name in CATEGORIES) < 15


def test_silhouettes_are_black_on_white(sets):
    for stimulus in read_stimuli(sets["silhouette"])[::7]:
        image = pixels(stimulus)
        assert image.min() < 0.05
        assert image.max() > 0.95
        assert np.ptp(image, axis=-1).max() == 0


def test_edges_are_thin_lines_on_white(sets):
    for stimulus in read_stimuli(sets["edge"])[::7]:
        dark = (pixels(stimulus)[..., 0] < 0.8).mean()
        assert 0.02 < dark < 0.4


def test_sketches_are_native_line_art_where_there_is_any(sets):
    kinds = {}
    for _, files in read_tar(sets["sketch"]):
        record = json.loads(files["json"])
        kinds.setdefault(record["category"], set()).add(record["kind"])
    for index, category in enumerate(CATEGORIES):
        assert kinds[category] == ({"line"} if index < 4 else {"colour"})


def test_a_missing_category_is_left_out(tmp_path):
    base = write_bases(tmp_path / "base.tar", categories=[1, 2], lines=[])
    count = make_stimuli(
        base, "cue-conflict", ["0"], image_size=16, seed=0, out_path=tmp_path / "o", per_category=4
    )
    assert count == 8
    assert {s.category for s in read_stimuli(tmp_path / "o")} == {"bear", "bicycle"}


def test_bad_input_is_refused_and_leaves_nothing(bases, tmp_path):
    def make(condition, level):
        make_stimuli(bases, condition, [level], image_size=32, seed=0, out_path=tmp_path / "o.tar")

    with pytest.raises(ValueError, match="'high-pass'"):
        make("highpass", "1.0")
    with pytest.raises(ValueError, match="not a level"):
        make("contrast", "c500")
    write_bases(tmp_path / "empty.tar", categories=[])
    with pytest.raises(ValueError, match="holds no object"):
        stimuli.read_bases(tmp_path / "empty.tar")
    assert [p.name for p in tmp_path.iterdir()] == ["empty.tar"]


def test_one_object_under_all_conditions(sets):
    shown = stimuli.one_object(sets, side=16)
    assert list(shown) == list(CONDITIONS)
    for condition, pictures in shown.items():
        assert {image.shape for image, _ in pictures} == {(16, 16, 3)}
        assert [level for _, level in pictures] == list(DEMO_LEVELS[condition])
    bird = next(s for s in read_stimuli(sets["edge"]) if s.category == "bird")
    first = np.asarray(stimuli.one_object(sets)["edge"][0][0])
    assert np.array_equal(first, np.asarray(bird.image))


def test_the_toolbox_reads_the_levels_as_they_are_spelt(sets, tmp_path):
    # Its reader lets pandas guess the type of the condition: "0" beside "0.5" becomes "0.0".
    for condition, levels in DEMO_LEVELS.items():
        path = tmp_path / f"{condition}.csv"
        pd.DataFrame({"condition": levels}).to_csv(path, index=False)
        assert list(pd.read_csv(path)["condition"].astype(str)) == list(levels)


def test_categories_are_those_of_the_objects():
    from clip_mamba.data import ood_base

    assert stimuli.CATEGORIES == ood_base.CATEGORIES
