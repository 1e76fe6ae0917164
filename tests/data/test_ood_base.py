import io
import json

import numpy as np
import pytest
from PIL import Image

from clip_mamba.data.drawings import FLUENT_STYLES, TRAINING_STYLES
from clip_mamba.data.ood_base import (
    CATEGORIES,
    Entry,
    build_ood_base,
    needed_sources,
    read_entries,
    tint,
)
from clip_mamba.data.shards import read_tar
from clip_mamba.data.sources import read_sources

ENTRIES = [
    Entry("airplane", "fluent-3d", "colour", ("mammal number 1", "fruit number 2")),
    Entry("truck", "game-icons", "tint", ("tool-number-4",)),
    Entry("oven", "game-icons", "line", ("arrow-number-5",)),
]


def test_base_set_has_masks_classes_and_counts(raw_dir, tmp_path):
    facts = build_ood_base(raw_dir, tmp_path, seed=1, entries=ENTRIES)
    assert facts["images"] == 4 and facts["counts"]["airplane"] == {"colour": 2}
    assert json.loads((tmp_path / "base.json").read_text()) == facts
    samples = dict(read_tar(tmp_path / "base.tar"))
    assert len(samples) == 4
    for files in samples.values():
        image = Image.open(io.BytesIO(files["png"]))
        about = json.loads(files["json"])
        assert image.mode == "RGBA" and image.size == (64, 64)
        assert CATEGORIES[int(files["cls"])] == about["category"]
        assert about["kind"] == ("line" if about["category"] == "oven" else "colour")
        assert np.asarray(image)[..., 3].max() == 255


def test_base_set_is_the_same_twice(raw_dir, tmp_path):
    digests = [
        build_ood_base(raw_dir, tmp_path / name, seed=1, entries=ENTRIES)["sha256"] for name in "ab"
    ]
    assert digests[0] == digests[1]


def test_unknown_drawing_is_named(raw_dir, tmp_path):
    entries = [Entry("car", "game-icons", "tint", ("no-such-icon",))]
    with pytest.raises(ValueError, match="'game-icons' has no drawing 'no-such-icon'"):
        build_ood_base(raw_dir, tmp_path, seed=1, entries=entries)


def test_table_covers_all_categories_with_held_out_sets_only():
    entries, sources = read_entries(), read_sources()
    assert {entry.category for entry in entries} == set(CATEGORIES)
    assert list(CATEGORIES) == sorted(CATEGORIES) and len(CATEGORIES) == 16
    trained = {style.source for style in TRAINING_STYLES.values()} | set(TRAINING_STYLES)
    for entry in entries:
        assert entry.set not in trained and all(entry.names)
        assert sources[entry.set].role == "held-out"
    assert set(FLUENT_STYLES) <= {entry.set for entry in entries}
    assert set(needed_sources()) <= set(sources)
    named = [(e.category, e.set, e.treatment, n) for e in entries for n in e.names]
    assert len(named) == len(set(named))


def test_training_set_in_the_table_is_refused(tmp_path):
    table = tmp_path / "t.tsv"
    table.write_text("category\tset\ttreatment\tnames\ncar\ttwemoji\tcolour\tautomobile\n")
    with pytest.raises(ValueError, match="line 2: models are trained on 'twemoji'"):
        read_entries(table)
    table.write_text("category\tset\ttreatment\tnames\ncars\tmdi\tcolour\tcar\n")
    with pytest.raises(ValueError, match="unknown category"):
        read_entries(table)


def test_tint_fills_holes_only_where_asked():
    alpha = np.zeros((64, 64), dtype=np.uint8)
    alpha[10:54, 10:54] = 255
    alpha[20:44, 20:44] = 0
    ring = Image.fromarray(np.dstack([np.zeros((64, 64, 3), np.uint8), alpha]))
    filled = np.asarray(tint(ring, np.random.default_rng(0), fill=True))
    hollow = np.asarray(tint(ring, np.random.default_rng(0), fill=False))
    assert filled[32, 32, 3] == 255 and hollow[32, 32, 3] == 0
    assert filled[5, 5, 3] == 0 and filled[12, 12, 3] == 255
    assert abs(filled[32, 32, :3].astype(int) - filled[12, 12, :3]).max() > 40
