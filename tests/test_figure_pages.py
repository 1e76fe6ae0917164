"""Pages of figures for the interactive report."""

import matplotlib.pyplot as plt
import pytest

from clip_mamba import figures
from tests.workflow import browser


def tall():
    figure, axes = plt.subplots(figsize=(4, 12))
    axes.plot([0, 1])
    return figure


def test_equal_figures_are_equal_pages(tmp_path):
    figures.write(tall(), tmp_path / "a.html")
    first = (tmp_path / "a.html").read_bytes()
    figures.write(tall(), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == first


@pytest.mark.skipif(not (browser.DRIVER and browser.BROWSER), reason="needs chromium-driver")
def test_a_tall_figure_is_shown_twice_as_large_as_in_print_from_its_top(tmp_path):
    figures.write(tall(), tmp_path / "tall.html")
    with browser.Browser(tmp_path / "tall.html") as reader:
        picture = reader.script(
            "const i = document.images[0]; return [i.naturalWidth, i.width, i.height, i.offsetTop]"
        )
        print_width, width, height, top = picture
        assert width == pytest.approx(2 * print_width, abs=1)
        assert height > reader.script("return innerHeight")
        assert top >= 0
        assert reader.errors() == []
