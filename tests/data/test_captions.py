import pytest

from clip_mamba.data.captions import FEWEST, MOST, captions, with_article
from clip_mamba.data.concepts import Concept, category_names
from clip_mamba.seeding import generator

OWL = Concept("1f989", "owl", ("bird", "wise", "night"), "animal-bird", "animals-nature")
BARE = Concept("1f525", "fire", (), "sky-weather", "travel-places")


@pytest.mark.parametrize("concept", [OWL, BARE])
@pytest.mark.parametrize("seed", range(30))
def test_captions_are_distinct_filled_and_mostly_name_the_concept(concept, seed):
    found = captions(concept, generator(seed, "captions"))
    assert FEWEST <= len(found) <= MOST and len(set(found)) == len(found)
    assert all(text.strip() and "{" not in text for text in found)
    named = sum(concept.label in text for text in found)
    assert named > len(found) / 2


def test_captions_use_keywords_and_category_names():
    text = " ".join(t for seed in range(40) for t in captions(OWL, generator(seed, "captions")))
    for word in ("wise", "night", "bird", "animal"):
        assert word in text


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("owl", "an owl"),
        ("bear", "a bear"),
        ("glasses", "glasses"),
        ("one o’clock", "one o’clock"),
        ("Mrs. Claus", "Mrs. Claus"),
        ("octopus", "an octopus"),
    ],
)
def test_articles(label, expected):
    assert with_article(label) == expected


def test_every_category_has_a_name():
    for level in category_names().values():
        assert all(names and all(name.strip() for name in names) for names in level.values())
