import hashlib

import numpy as np
import pytest
import synthetic_results as made

from clip_mamba import figures, tables


@pytest.fixture(scope="module")
def results():
    return made.everything()


@pytest.fixture(scope="module")
def frames(results):
    trials = {
        (model, 0): {condition: made.trials(model, 0, condition) for condition in made.LEVELS}
        for model in made.MODELS
    }
    return {"zeroshot": tables.zeroshot(results), "ood": tables.ood(results, trials=trials)}


def _draw(name, results, frames):
    if name in {"accuracy", "efficiency", "zeroshot_difference"}:
        return getattr(figures, name)(frames["zeroshot"])
    if name in {"ood_curves", "ood_summary", "consistency", "ood_difference", "shape_bias"}:
        return getattr(figures, name)(frames["ood"])
    return getattr(figures, name)(results)


NAMES = [
    "accuracy", "efficiency", "zeroshot_difference", "ood_curves", "ood_summary", "consistency",
    "ood_difference", "shape_bias",
    "hessian_spectra", "hessian_densities", "loss_curves",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_written_in_both_formats(name, results, frames, tmp_path):
    figure = _draw(name, results, frames)
    assert figure.get_size_inches()[0] <= 6.51
    pdf, png = tmp_path / "f.pdf", tmp_path / "f.png"
    figures.write(figure, pdf, png)
    assert pdf.read_bytes().startswith(b"%PDF") and png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_figures_without_results_say_so(name, tmp_path):
    empty = {"zeroshot": tables.zeroshot([]), "ood": tables.ood([])}
    figure = _draw(name, [], empty)
    assert figure.axes[0].texts
    figures.write(figure, tmp_path / "f.png")


def test_equal_figures_are_equal_files(results, tmp_path):
    digests = set()
    for number in range(2):
        path = tmp_path / f"{number}.pdf"
        figures.write(figures.hessian_spectra(results), path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_panel_per_task_and_condition(frames):
    drawn = [axes for axes in figures.accuracy(frames["zeroshot"]).axes if axes.axison]
    assert len(drawn) == len(made.TASKS)
    drawn = [axes for axes in figures.ood_curves(frames["ood"]).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in drawn] == list(made.LEVELS)


def test_many_tasks_wrap(frames):
    import pandas as pd

    own = frames["zeroshot"][frames["zeroshot"]["task"] == "mnist"]
    many = pd.concat([own.assign(task=f"task{i}", title=f"task {i}") for i in range(26)])
    assert len([axes for axes in figures.accuracy(many).axes if axes.axison]) == 26


def test_corpus_sheet(tmp_path):
    images = np.zeros((10, 40, 40, 3), np.uint8)
    figure = figures.corpus_sheet(images, ["costs $5 & 10% of_it"] * 10)
    figures.write(figure, tmp_path / "f.pdf")
    with pytest.raises(ValueError, match="10 pictures and 1 captions"):
        figures.corpus_sheet(images, ["one"])


def test_our_results_stand_against_the_published_ones():
    frame = tables.zeroshot(made.paper_zero_shot())
    figure = figures.reproduction(frame)
    frame = frame[frame["task"] != ""]  # without means
    (axes,) = figure.axes
    drawn = sum(len(line.get_xdata()) for line in axes.lines[1:])
    assert drawn == (frame["value"].notna() & frame["published"].notna()).sum() > 100
    x, y = axes.lines[1].get_data()
    own = frame[(frame["model"] == "ViT-B-16") & frame["value"].notna()]
    assert list(x) == list(100 * own["published"]) and list(y) == list(100 * own["value"])
