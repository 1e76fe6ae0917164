"""Pages of tables for the interactive report: what they say, and that they sort and filter."""

import re

import pandas as pd
import pytest

from clip_mamba.tables import CONTEXTS
from clip_mamba.tables.html import TITLES, write_html
from tests.workflow import browser

FRAME = pd.DataFrame({
    "title": "Digits <0-9>",
    "source": ["a.json", "b.json", "c, " * 30 + "d.json"],
    "task": "mnist",
    "model": ["ViT", "VMamba", "SiMBA"],
    "pairs": [139776.0, 2.0, None],
    "value": [0.125, -3.0000004, None],
    "p": [0.00001234, 0.9, 103.25],
    "note": None,
    "chance": 0.1,
})


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    write_html(FRAME, "Zero-shot, demo scale", path)
    return path


def columns(path):
    return re.findall("<button>(.*?)</button>", path.read_text())


def test_a_page_begins_with_what_is_looked_for(page):
    assert columns(page) == ["model", "value", "p", "source", "pairs"]


def test_what_is_the_same_in_every_row_is_said_once(page):
    text = page.read_text()
    told = "The same in every row: task = mnist; title = Digits &lt;0-9&gt;; chance = 0.1000."
    assert told in text
    assert "Without any value: note." in text


def test_one_row_is_shown_with_all_its_columns(tmp_path):
    write_html(FRAME.iloc[:1], "one", tmp_path / "one.html")
    assert set(columns(tmp_path / "one.html")) == set(FRAME)


def test_numbers_have_four_digits_or_are_whole_and_none_becomes_zero(page):
    text = page.read_text()
    for number in ("139,776", "0.1250", "-3.0000", "1.2e-05", "0.9000", "103.2"):
        assert f">{number}</td>" in text
    assert 'title="-3.0000004"' in text


def test_a_missing_number_is_a_dash(page):
    assert page.read_text().count('<td class="number" data-empty="1">–</td>') == 2


def test_every_table_has_a_title():
    assert set(TITLES) == set(CONTEXTS)


@pytest.mark.skipif(not (browser.DRIVER and browser.BROWSER), reason="needs chromium-driver")
def test_a_reader_sorts_and_filters(page):
    with browser.Browser(page) as reader:
        models = lambda: reader.texts("tbody tr:not([hidden]) td:first-child")  # noqa: E731
        assert models() == ["ViT", "VMamba", "SiMBA"]
        reader.press("th:nth-child(2) button")
        assert models() == ["VMamba", "ViT", "SiMBA"]
        reader.press("th:nth-child(2) button")
        assert models() == ["ViT", "VMamba", "SiMBA"]  # what is missing stays last
        reader.press("th:nth-child(1) button")
        assert models() == ["SiMBA", "ViT", "VMamba"]
        reader.type("input", "vm b.json")
        assert models() == ["VMamba"]
        assert reader.texts("output") == ["1 of 3 rows"]
        assert reader.errors() == []
