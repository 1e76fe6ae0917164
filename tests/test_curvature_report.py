"""What tables, figures and the report say of the Hessian."""

import copy
import re

import numpy as np
import pytest
import synthetic_results as made
from matplotlib.colors import to_hex

from clip_mamba import figures, style, tables
from clip_mamba.figures.pretraining import apart
from clip_mamba.report.curvature import hessian
from clip_mamba.tables import cells
from clip_mamba.tables.tex import environment

HESSIAN = ["hessian_blocks", "hessian_size", "hessian_sweep", "hessian_surfaces"]


@pytest.fixture(scope="module")
def results():
    return made.everything()


def measured(results):
    return [result for result in results if result.kind == "hessian"]


def changed(result, **details):
    """Return a result with other details."""
    return result.model_copy(update={"details": copy.deepcopy(result.details) | details})


def sharper(result):
    """Return a Mamba model's result with a hundred times the largest eigenvalue."""
    if not style.is_mamba(result.model):
        return result
    own = result.details["figures"]["lambda_max"]
    top = {"mean": 100 * own["mean"], "interval": None}
    top |= {"per_batch": [100 * value for value in own["per_batch"]]}
    return changed(result, figures=result.details["figures"] | {"lambda_max": top})


def said(results):
    return hessian(tables.hessian(results), results)


def section(context):
    """Return the section's text, without tables and figures."""
    env = environment("paper/sections")
    call = env.from_string(
        "((* macro show_table(name) *))((( caller() )))((* endmacro *))"
        "((* macro show_figure(name) *))((( caller() )))((* endmacro *))"
        '((* include "hessian.tex.j2" *))'
    )
    return " ".join(call.render(hessian=context, seeds=["0"]).split())


def written(name, frame, tmp_path):
    tex = tmp_path / "t.tex"
    tables.write(frame, name, tmp_path / "t.csv", tex, scale="demo")
    return tex.read_text()


def test_the_note_defines_and_says_how(results, tmp_path):
    text = written("hessian", tables.hessian(results), tmp_path)
    for words in (
        "5 eigenvalues at each end", "32 Lanczos steps", "3 probes", "at most 0.01;",
        "standard error from the probes at most 12)", r"at most $5.0\times 10^{-8}$",
        r"\|H\|_F^2/\|H\|_2^2", r"\sum_{\lambda<0}", "negative of\\\\the top 5",
    ):  # fmt: skip
        assert words in text
    assert r"lambda_{\min}/\lambda_{\max}" not in text  # a bounded, skewed ratio has no t interval
    assert r"5\,\%" in text  # one of 20 values is negative


def test_intervals_of_shares_are_shares(results):
    own = measured(results)
    figure = {"mean": 0.05, "interval": [-0.1, 0.2], "per_batch": [0.2, 0, 0, 0]}
    few = [
        changed(r, figures=r.details["figures"] | {"negative_share_of_top": figure}) for r in own
    ]
    frame = tables.hessian(few).set_index("quantity")
    assert (frame.loc["negative_share_of_top", "low"] == 0).all()


def test_blocks_stand_beside_the_whole_on_the_same_mini_batch(results):
    frame = tables.hessian_blocks(results)
    tops = frame[frame["quantity"] == "lambda_max"].set_index(["model", "task"])["value"]
    for result in measured(results):
        first = result.details["figures"]["lambda_max"]["per_batch"][0]
        assert tops[result.model, "whole"] == first
        assert (tops[result.model].dropna() <= first).all()


def test_what_has_not_converged_is_marked(results, tmp_path):
    text = written("hessian_blocks", tables.hessian_blocks(results), tmp_path)
    assert text.count(r"$^{\dagger}$") == 1  # the scan of VMamba-Micro
    assert r"$4.0\times 10^{-3}$$^{\dagger}$" in text and "lower bound" in text
    assert "on the first mini-batch of" in text and "(es)" not in text
    all_done = [r for r in results if r.model != "VMamba-Micro"]
    assert "dagger" not in written("hessian_blocks", tables.hessian_blocks(all_done), tmp_path)


@pytest.mark.parametrize("name", ["hessian_blocks", "hessian"])
def test_tables_of_nothing_say_nothing_of_the_method(name, tmp_path):
    text = written(name, getattr(tables, name)([], models=["ViT-Nano"]), tmp_path)
    assert "Lanczos" not in text and "mini-batch" not in text and "ViT-Nano" in text


def test_what_all_models_share_is_in_the_note(results, tmp_path):
    text = written("models", tables.models(results), tmp_path)
    head, _, note = text.partition("tablenotes")
    assert "text tower" not in head and "610,000 text tower parameters" in note
    assert "69,120 pairs seen" in note and "1 seed." in note
    assert r"$\ln 128 = 4.85$" in note
    own = [r.model_copy(update={"machine": ""}) for r in results if r.kind == "pretrain"]
    assert "on cpu, 1 thread." in written("models", tables.models(own), tmp_path)
    other = [own[0].model_copy(update={"text_parameters": 5}), *own[1:]]
    assert "text tower" in written("models", tables.models(other), tmp_path).partition("tablen")[0]


def test_the_report_says_where_the_sharpness_is(results):
    parts = said(results)["parts"]
    assert [home["part"] for home in parts["homes"]["mamba"]] == ["stem"]
    assert parts["homes"]["vit"][0] | {"models": 0} == {
        "part": "text", "name": "the text tower", "models": 0, "count": 2, "in": "both ViTs",
        "share": "70",
    }  # fmt: skip
    assert parts["stems_apart"] and parts["scan"]["flat"]
    assert parts["scan"]["value"] == "0.0040" and parts["scan"]["share"] == "less than 1"


def test_different_homes_are_told_apart(results):
    own = measured(results)
    spectrum = own[-1].details["eigenvalues"]
    moved = spectrum["shares"] | {"head": [[0.95] * 10] * 4}
    others = [*own[:-1], changed(own[-1], eigenvalues=spectrum | {"shares": moved})]
    homes = said(others)["parts"]["homes"]["mamba"]
    assert [(home["part"], home["in"]) for home in homes] == [
        ("stem", "2 of the 3 Mamba models"),
        ("head", "1 of the 3 Mamba models"),
    ]
    assert not said(others)["parts"]["stems_apart"]


def test_pairs_of_models_are_compared_on_both_ends(results):
    own, found = measured(results), said(results)["matched"]
    means = {r.model: r.details["figures"] for r in own}
    assert found["pairs"] == 3
    for pair in found["ratios"]:
        tops = [means[pair[kind]]["lambda_max"]["mean"] for kind in ("mamba", "vit")]
        assert pair["ratio"] == cells.significant(tops[0] / tops[1], 2)
    below = [
        means[pair["mamba"]]["lambda_min"]["mean"] < means[pair["vit"]]["lambda_min"]["mean"]
        for pair in found["ratios"]
    ]
    assert found["lower"] == sum(below)
    assert found["lower_clear"] <= found["lower"]


def test_a_clearly_lower_end_is_called_clear(results):
    own = measured(results)
    ends = np.array([-500.0, -501, -502, -500])
    figure = {"mean": float(ends.mean()), "interval": None, "per_batch": ends.tolist()}
    deep = [
        changed(r, figures=r.details["figures"] | {"lambda_min": figure})
        if style.is_mamba(r.model)
        else r
        for r in own
    ]
    assert (said(deep)["matched"]["lower"], said(deep)["matched"]["lower_clear"]) == (3, 3)


def test_the_report_says_how_batches_change_it(results):
    sweep = said(results)["sweep"]
    assert sweep["sizes"] == "16, 32 and 128" and sweep["single"]
    assert (sweep["pairs"], sweep["main_pairs"]) == ("128", "256")
    assert sweep["factors"] == [
        {"kind": "Mamba models", "range": "1.00"},
        {"kind": "ViTs", "range": "0.50"},
    ]
    first, last = (float(sweep[f"ratio_{end}"].split(" to ")[0]) for end in ("first", "last"))
    assert last == pytest.approx(2 * first, rel=0.1)


def test_the_report_says_where_the_quadratic_model_ends(results):
    surfaces = said(results)["surfaces"]
    assert surfaces["predicted"] == "1.0"
    assert {rise["range"] for rise in surfaces["rises"]} == {"0.40"} and surfaces["short"]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_section_reads_whole(seeds):
    own = [sharper(result) for result in measured(made.everything(seeds))]
    text = section(said(own))
    for words in (
        "Negative mass is relative", "in the stem in all 3 Mamba models", "both ViTs",
        "the larger one in all 3 pairs", "stems, not on those of the scan",
        "Park and Kim include an $L_2$ term",
        "by a factor of 1.00 in the Mamba models and of 0.50 in the ViTs",
    ):  # fmt: skip
        assert words in text
    assert not re.search(r"[.;,][A-Z]", text.replace("\\,", ""))  # sentences have a space between
    assert "None" not in text and "nan" not in text.replace("Nano", "")


def test_the_section_without_side_measurements(results):
    bare = [changed(r, blocks={}, sweep=[], surfaces={}) for r in measured(results)]
    text = section(said(bare))
    assert "Negative mass is relative" in text and "convolutional" not in text
    alone = [r for r in bare if style.is_mamba(r.model)]
    assert said(alone)["matched"] is None and "sharpest model" in section(said(alone))
    assert said(results[:1]) is None
    assert r"\missing{Hessian results}" in section(None)


def test_only_mamba_models_still_have_parts(results):
    alone = [r for r in measured(results) if style.is_mamba(r.model)]
    found = said(alone)["parts"]
    assert found["homes"]["vit"] == [] and found["image_ratio"] is None
    assert "in the stem in all 3 Mamba models" in section(said(alone))


@pytest.mark.parametrize("name", HESSIAN)
def test_figures_are_drawn_at_the_width_of_the_text(name, results, tmp_path):
    figure = getattr(figures, name)(results)
    assert figure.get_size_inches()[0] == style.TEXT_WIDTH
    figures.write(figure, tmp_path / "f.pdf")
    assert getattr(figures, name)([]).axes[0].texts


def hollow(axes):
    """Return how many marks are hollow."""
    lines = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
    return sum(to_hex(line.get_markerfacecolor()) == "#ffffff" for line in lines)


def test_unconverged_marks_are_hollow(results):
    left, right = figures.hessian_blocks(results).axes
    assert (hollow(left), hollow(right)) == (1, 0)
    own = measured(results)
    sweep = copy.deepcopy(own[0].details["sweep"])
    sweep[2]["largest_converged"] = [[False]]
    top, trace = figures.hessian_sweep([changed(own[0], sweep=sweep)]).axes
    assert (hollow(top), hollow(trace)) == (1, 0)
    flags = copy.deepcopy(own[0].details["eigenvalues"])
    flags["largest_converged"][0][1] = False
    (axes,) = figures.hessian_spectra([changed(own[0], eigenvalues=flags)]).axes
    faces = [to_hex(face) for strip in axes.collections for face in strip.get_facecolors()]
    assert faces.count("#ffffff") == 1 and len(faces) == 2 * 4 * 5


def test_each_mini_batch_has_a_line_of_its_own(results):
    (axes,) = figures.hessian_spectra(measured(results)[:1]).axes
    heights = {tuple(np.unique(strip.get_offsets()[:, 1])) for strip in axes.collections}
    assert len(heights) == 4 and all(len(own) == 1 for own in heights)


def test_each_column_of_densities_has_tick_labels(results):
    figure = figures.hessian_densities(results)
    figure.canvas.draw()
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 5
    labelled = [any(t.get_visible() for t in axes.get_xticklabels()) for axes in drawn]
    assert labelled == [False, False, True, True, True]
    assert all("sigma" in axes.get_xlabel() for axes in drawn[2:])


def test_surfaces_share_limits_in_each_column(results):
    figure = figures.hessian_surfaces(results)
    grid = np.array(figure.axes[:20]).reshape(5, 4)
    for column in grid.T:
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in column}) == 1
    for column in (grid[:, 1], grid[:, 3]):
        assert len({axes.collections[0].get_clim() for axes in column}) == 1
        # The measured points and no others.
        assert {axes.collections[0].get_array().size for axes in column} == {9}
    assert all(axes.get_xlabel() for axes in grid[-1])


def test_loss_curves_have_names_and_a_chance_line(results):
    own = [r for r in results if r.kind == "pretrain"]
    (axes,) = figures.loss_curves(own).axes
    assert [t.get_text() for t in axes.texts][0] == "chance: ln 128"
    assert {t.get_text() for t in axes.texts[1:]} == set(made.MODELS)
    (dotted,) = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert dotted.get_ydata()[0] == pytest.approx(np.log(128))
    ends = {line.get_color(): line.get_ydata()[-1] for line in axes.lines}
    for run in own:
        assert ends[style.look(run.model).colour] == pytest.approx(run.value)


def test_labels_are_set_apart_in_their_order():
    places = apart({"a": 1.0, "b": 1.01, "c": 3.0}, 0.5)
    assert list(places) == ["a", "b", "c"]
    assert places["b"] - places["a"] == pytest.approx(0.5)
    assert places["c"] - places["b"] >= 0.5
    assert np.mean(list(places.values())) == pytest.approx(np.mean([1, 1.01, 3]))
