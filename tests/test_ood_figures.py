"""Figures of robustness: drawn at the size of print, without marks that hide or mislead."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from clip_mamba import figures, style, tables
from clip_mamba.figures.behaviour import _area
from tests import synthetic_results as made

SECTION = Path("paper/sections/robustness.tex.j2").read_text()
NAMES = ("ood_curves", "ood_difference", "ood_summary", "shape_bias", "consistency")


@pytest.fixture(scope="module")
def frame():
    trials = {
        (model, 0): {condition: made.trials(model, 0, condition) for condition in made.LEVELS}
        for model in made.MODELS
    }
    return tables.ood(made.everything(), trials=trials)


def picture(value=0, size=32):
    return np.full((size, size, 3), value, np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_drawn_at_the_size_at_which_they_are_printed(name, frame, tmp_path):
    (share,) = re.findall(rf'show_figure\("{name}"(?:, ([\d.]+))?\)', SECTION)
    path = tmp_path / "f.pdf"
    figures.write(getattr(figures, name)(frame), path)
    said = subprocess.run(["pdfinfo", path], check=True, capture_output=True, text=True).stdout
    width = float(re.search(r"Page size: +([\d.]+)", said)[1]) / 72
    assert width == pytest.approx(float(share or 1) * style.TEXT_WIDTH, rel=0.03)


def test_intervals_do_not_hide_each_other(frame):
    for axes in figures.ood_curves(frame).axes:
        if not axes.axison:
            continue
        places = [bars[0].get_xdata() for bars in axes.containers]
        assert len(places) == len(made.MODELS)
        flat = np.concatenate(places)
        assert len(np.unique(flat.round(6))) == len(flat)
        # Sideways, but nearer to their own level than to the next.
        if len(places[0]) > 1:
            assert (np.abs(flat - flat.round()) < 0.5).all()


def _biases(*entries):
    shared = {"condition": "cue-conflict", "low": 0.2, "high": 0.9}
    found = []
    for model, level, value, decisions in entries:
        row = shared | {"model": model, "level": level}
        found.append(row | {"quantity": "shape-bias", "value": value})
        found.append(row | {"quantity": "shape-decisions", "value": decisions})
    return pd.DataFrame(found)


def test_shape_bias_shows_what_rests_on_enough_decisions():
    data = _biases(
        ("ViT-Nano", "", 0.6, 40),
        ("ViT-Nano", "dog", 0.4, 12),
        ("ViT-Nano", "cat", 1.0, 4),
        ("SiMBA-Nano", "", 0.5, 30),
        ("SiMBA-Nano", "dog", 0.7, 5),
    )
    axes = figures.shape_bias(data).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "all categories"]
    marks = [c for c in axes.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    drawn = {round(mark.get_offsets()[0][0]): mark.get_sizes()[0] for mark in marks}
    assert set(drawn) == {60, 40, 50, 70}
    assert drawn[70] < drawn[40] < drawn[60]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["5", "10", "20 or more"]


def test_marks_grow_with_decisions_within_bounds():
    areas = [_area(number) for number in (5, 10, 15, 1000)]
    assert areas == sorted(areas) and areas[0] < areas[1] and areas[-1] < 60


def test_no_shape_bias_where_nobody_decided():
    few = figures.shape_bias(_biases(("ViT-Nano", "", 1.0, 3)))
    assert "5 times" in few.axes[0].texts[0].get_text()


def test_summary_marks_chance_and_no_preference(frame):
    left, right = figures.ood_summary(frame).axes
    assert [text.get_text() for text in left.texts] == ["chance"]
    assert [text.get_text() for text in right.texts] == ["no preference"]
    assert left.get_xlim()[0] == 0 and right.get_xlim() == (0, 100)


def test_kappas_show_their_intervals_on_one_side(frame):
    axes = figures.consistency(frame).axes[0]
    written = [text.get_text() for text in axes.texts]
    pairs = len(made.MODELS) * (len(made.MODELS) - 1) // 2
    assert sum("[" in text for text in written) == pairs
    assert sum(bool(text) for text in written) == 2 * pairs


def test_stimuli_keep_their_pixels_and_their_words(tmp_path):
    shown = {"contrast": [(picture(), "c100"), (picture(9), "c05")], "edge": [(picture(5), "0")]}
    figures.write(figures.stimuli(shown), tmp_path / "s.pdf", tmp_path / "s.png")
    listed = subprocess.run(
        ["pdfimages", "-list", tmp_path / "s.pdf"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[2:]
    assert [line.split()[3:5] for line in listed] == [["32", "32"]] * 3
    words = subprocess.run(
        ["pdftotext", tmp_path / "s.pdf", "-"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(words) == {"contrast", "c100", "c05", "edge"}


def test_no_stimulus_is_said():
    assert figures.stimuli({}).axes[0].texts


def test_captions_lie_below_their_pictures():
    figure = figures.corpus_sheet([picture()] * 3, ["a cartoon of a VS button"] * 3)
    figure.canvas.draw()
    for axes in figure.axes:
        if axes.images:
            text = axes.title.get_window_extent()
            assert text.y1 < axes.images[0].get_window_extent().y0
