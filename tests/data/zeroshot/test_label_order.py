from pathlib import Path

import pytest

from clip_mamba.data.zeroshot_sets.label_order import (
    ByName,
    align,
    describe,
    normalise,
    recorded_order,
)
from clip_mamba.data.zeroshot_sets.table import read_entries, read_retrieval_entries
from clip_mamba.metrics import METRICS

CLASSES = [["apple", "fruit"], ["Pear tree"], ["plum"], ["fig"]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ApplyLipstick", "Apply Lipstick"),
        ("jail/indoor", "jail indoor"),
        ("polka-dotted", "Polka Dotted"),
        ("HandstandPushups", "Hand Stand Pushups"),
        ("three", "3"),
        ("Ten", "10"),
    ],
)
def test_spellings_of_one_name_agree(one, other):
    assert normalise(one) == normalise(other)


def test_names_are_compared_and_the_order_returned():
    names = ["fruit", "pear_tree", "prune", "FIG"]
    assert align("none", names, CLASSES) == [0, 1, 2, 3]
    assert describe("none", names, CLASSES).endswith("3 of 4 names compared")


def test_a_source_that_changed_its_order_is_refused():
    with pytest.raises(ValueError, match="calls label 1 'plum', but it would become class 1"):
        align("none", ["apple", "plum", "pear tree", "fig"], CLASSES)


def test_two_classes_of_one_name_do_not_disturb():
    twice = [["missile"], ["crane"], ["missile"]]
    assert align("none", ["missile", "crane", "missile"], twice) == [0, 1, 2]


def test_class_by_name_hints_at_the_nearest():
    find = ByName("birds", CLASSES)
    assert find("PearTree") == 1 and find("fruit") == 0
    with pytest.raises(ValueError, match="birds: SLIP has no class 'pear'.*'peartree'"):
        find("pear")


def test_recorded_orders_follow_from_the_rules_that_they_stand_for():
    # Pets: cats (SLIP's first 12) and dogs, each in its order. Caltech-101: all but the five
    # that SLIP puts first stay in order. SUN397: one pair. Others in words.
    pets = recorded_order("pets", 37)
    assert [c for c in pets if c < 12] == list(range(12))
    assert [c for c in pets if c >= 12] == list(range(12, 37))
    caltech = recorded_order("caltech101", 102)
    assert [c for c in caltech if c > 4] == list(range(5, 102))
    sun = recorded_order("sun397", 397)
    assert [i for i, c in enumerate(sun) if i != c] == [206, 207]
    assert recorded_order("kitti", 4) == [2, 1, 0, 3]
    assert recorded_order("clevr-counts", 8) == [1, 2, 3, 4, 5, 6, 7, 0]
    assert recorded_order("food101", 101) == list(range(101))


def test_the_table_holds_the_reports_26_in_its_order():
    published = Path(__file__).parents[3] / "paper/published/zeroshot.csv"
    columns = published.read_text().splitlines()[0].split(",")[2:]
    assert [entry.title for entry in read_entries().values()] == columns
    for entry in read_entries().values():
        assert entry.metric in METRICS and entry.licence and entry.source[0].startswith("https://")
        if entry.report_split:
            assert entry.note, f"{entry.name}: say how its split differs"


def test_metrics_are_those_of_the_report():
    others = {name: e.metric for name, e in read_entries().items() if e.metric != "top1"}
    assert others == {
        **dict.fromkeys(["aircraft", "pets", "caltech101", "flowers"], "mean_per_class"),
        "kinetics700": "mean_top1_top5",
        "hateful-memes": "roc_auc",
    }


def test_the_retrieval_sets():
    sizes = {name: (e.images, e.captions) for name, e in read_retrieval_entries().items()}
    assert sizes["flickr30k"] == (1000, 5000) and sizes["mscoco"][0] == 5000
