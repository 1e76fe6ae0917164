"""Tables and the figure of zero-shot, retrieval and linear probing, on made-up results."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_results as made

from clip_mamba import figures, tables
from clip_mamba.claims.paired import mean_over_tasks
from clip_mamba.comparison import compare, task_scores
from clip_mamba.tables import cells
from clip_mamba.tables.averages import averages, per_task
from clip_mamba.tables.published import NAMES, PUBLISHED, published, titles

TEMPLATES = "paper/tables"


def _measured(results, root, **options):
    return tables.zeroshot(results, predictions=made.predictions(results, root), **options)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    results = made.paper_zero_shot(absent=("hateful-memes", "kinetics700"))
    gone = [r for r in results if (r.model, r.task) != ("ViT-L-16", "imagenet")]
    asked = {"models": list(made.PAPER_MODELS), "tasks": list(titles())}
    return _measured(gone, tmp_path_factory.mktemp("paper"), **asked)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The demo's results on two tasks, and the files of their predictions."""
    own = [r for r in made.everything() if r.task in {"unseen-style-group", "mnist"}]
    return own, made.predictions(own, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def demo(kept):
    return tables.zeroshot(kept[0], predictions=kept[1])


def test_every_published_number_finds_its_model_and_task():
    theirs = pd.read_csv(PUBLISHED).set_index("model")
    found = published()
    assert len(found) == 26 * 6
    assert set(found["model"]) == set(made.PAPER_MODELS)
    row = found[(found["model"] == "SiMBA-L") & (found["task"] == "rendered-sst2")].iloc[0]
    assert row["published"] == pytest.approx(theirs.loc["Simba_L", "SST2"] / 100)
    assert row["published_parameters"] == pytest.approx(66.6e6)
    means = found.groupby("model")["published"].mean()
    for name, ours in NAMES.items():
        own = theirs.loc[name].drop("parameters_million").mean()
        assert means[ours] == pytest.approx(own / 100)


def test_the_difference_is_ours_minus_the_reports(paper):
    row = paper[(paper["model"] == "VMamba-S") & (paper["task"] == "food101")].iloc[0]
    assert row["difference"] == pytest.approx(row["value"] - 0.494)
    assert paper[paper["task"] == "hateful-memes"]["difference"].isna().all()


def test_means_are_over_what_every_model_was_measured_on(paper):
    mean = averages(paper).set_index("model")
    assert set(mean["tasks"]) == {23}
    common = set(titles()) - {"hateful-memes", "kinetics700", "imagenet"}
    for model in made.PAPER_MODELS:
        own = paper[(paper["model"] == model) & paper["task"].isin(common)]
        assert mean.loc[model, "value"] == pytest.approx(own["value"].mean(), abs=0.005)
        assert mean.loc[model, "published"] == pytest.approx(own["published"].mean())
        value = own["value"].astype(float)
        half = 1.96 * math.sqrt((value * (1 - value)).sum() / 200) / 23  # of 200 pictures each
        low, high = mean.loc[model, ["low", "high"]]
        assert high - low == pytest.approx(2 * half, rel=0.1)


def test_the_mean_and_its_interval_are_those_that_claims_are_judged_by(demo, kept):
    mean = averages(demo).set_index("model")
    tasks = list(task_scores(*kept).values())
    found, margin = mean_over_tasks(tasks, "SiMBA-Nano", "ViT-Nano")
    assert mean.loc["ViT-Nano", "value"] - mean.loc["ViT-Nano", "low"] == pytest.approx(margin)
    gain = mean.loc["SiMBA-Nano", ["gain", "gain_low", "gain_high", "gain_p"]].to_list()
    assert gain == pytest.approx([found.value, found.low, found.high, found.p])


def test_each_mamba_model_is_compared_with_the_vit_of_its_size(demo, kept):
    own = demo[demo["task"] == "mnist"].set_index("model")
    assert own["other"].to_dict() == {
        "ViT-Nano": "", "ViT-Micro": "", "pixel-1nn": "",
        "VMamba-Nano": "ViT-Nano", "VMamba-Micro": "ViT-Micro", "SiMBA-Nano": "ViT-Nano",
    }  # fmt: skip
    files = {path.parent.name: path for path in kept[1] if path.stem == "mnist"}
    found = compare([files["SiMBA-Nano-0"]], [files["ViT-Nano-0"]])
    gain = own.loc["SiMBA-Nano", ["gain", "gain_low", "gain_high", "gain_p"]].to_list()
    assert gain == pytest.approx([found.value, found.low, found.high, found.p])


def test_a_variant_is_in_the_table_but_in_no_comparison(kept):
    again = [
        r.model_copy(update={"model": "SiMBA-Nano@bare"}) for r in kept[0] if "SiMBA" in r.model
    ]
    frame = tables.zeroshot([*kept[0], *again], predictions=kept[1])
    assert frame[frame["model"] == "SiMBA-Nano@bare"]["other"].eq("").all()
    # Its predictions are not kept: no joint interval of any model is over tasks that it lacks.
    assert set(averages(frame)["tasks"]) == {2}


def test_without_predictions_there_are_means_but_no_intervals():
    frame = tables.zeroshot(made.everything())
    mean = averages(frame)
    assert mean["value"].notna().all() and mean["low"].isna().all()
    assert frame["gain"].isna().all() and frame["other"].eq("").all()


def test_the_interval_of_a_mean_sees_seeds_and_not_only_examples(tmp_path):
    def width(seeds):
        own = [r for r in made.everything(seeds) if r.task == "mnist"]
        mean = averages(_measured(own, tmp_path))
        return float((mean["high"] - mean["low"]).mean())

    assert width((0, 1, 2)) > width((0,))
    assert len(averages(tables.zeroshot([], models=["ViT-Nano"]))) == 0


def test_without_a_look_at_the_picture_the_commonest_class_is_best(paper):
    own = per_task(paper).drop_duplicates("task").set_index("task")
    assert own.loc["food101", "trivial"] == 0.02
    # A mean over classes gives nothing for always answering one of them.
    assert own.loc["pets", "trivial"] == pytest.approx(1 / 101)
    row = paper[(paper["task"] == "food101") & (paper["model"] == "SiMBA-L")].iloc[0]
    assert row["times_trivial"] == pytest.approx(row["value"] / 0.02)


def test_what_prints_the_same_is_as_good():
    assert cells.best([0.1049, 0.1051, 0.09]) == {0, 1}
    assert cells.best([0.1049, 0.1051], show=lambda v: cells.percent(v, 2)) == {1}
    assert cells.best([3.0, None, 1.0], highest=False) == {2}
    assert cells.best([0.5, None]) == set()


def test_a_note_says_which_bootstrap_is_of_which_rows(kept):
    digits = [r for r in kept[0] if r.task == "mnist"]
    alone = "percentile bootstrap, 1000 resamples of examples"
    own = [r.model_copy(update={"interval_method": alone}) for r in digits if r.value is not None]
    rest = [r for r in kept[0] if r.task != "mnist"]
    shown = tables.CONTEXTS["zeroshot"](tables.zeroshot([*own, *rest], predictions=kept[1]))
    assert shown["methods"] == [
        "percentile bootstrap, 1000 resamples of depicted concepts",
        f"{alone} (MNIST)",
    ]
    assert shown["mean_method"] == "percentile bootstrap of all tasks at once, 2000 resamples"


def test_without_results_the_report_is_still_there():
    frame = tables.zeroshot([], models=list(made.PAPER_MODELS), tasks=list(titles()))
    mean = averages(frame).set_index("model")
    assert mean["value"].isna().all()
    assert mean.loc["VMamba-B", "published"] == pytest.approx(0.35, abs=0.001)


def test_the_table_shows_the_report_what_is_missing_and_other_splits(paper, tmp_path):
    shown = tables.CONTEXTS["zeroshot"](paper)
    assert (shown["compared"], shown["has_baseline"]) == (True, False)
    assert len(shown["rows"]) == 26
    food = shown["rows"][0]
    place = shown["models"].index("VMamba-S")
    assert re.search(r"49\.4 \((\+|\$-\$)\d+\.\d\)", food["cells"][place])
    for row in shown["rows"]:
        bold = any("textbf" in cell for cell in row["cells"])
        absent = row["title"] in {"Kinetics700", "HatefulMemes"}
        assert bold != absent
        # What is missing has the mark of its note.
        assert all((r"--\tnote{a}" in cell) == absent for cell in row["cells"][:1])
    assert r"--\tnote{b}" in shown["rows"][-1]["cells"][shown["models"].index("ViT-L-16")]
    assert shown["notes"] == [
        f"Kinetics700, HatefulMemes: {made.ABSENT}",
        "ViT-L-16 on ImageNet: no result",
    ]
    assert shown["splits"] == ["EuroSAT (test; report: val)"]


def test_the_demo_is_not_compared_with_the_report():
    shown = tables.CONTEXTS["zeroshot"](tables.zeroshot(made.everything()))
    assert (shown["compared"], shown["has_baseline"]) == (False, True)
    assert any("textbf" in cell for cell in shown["average"])


@pytest.fixture(scope="module")
def beside():
    rng = np.random.default_rng(0)
    runs = [(model, seed) for model in made.MODELS for seed in (0, 1)]
    return [
        *(made.retrieval(model, seed, rng) for model, seed in runs),
        *(made.linear_probe(model, seed, rng) for model, seed in runs),
    ]


def test_retrieval_is_tidy_and_complete(beside):
    frame = tables.retrieval(beside, models=[*made.MODELS, "SiMBA-Micro"], tasks=["unseen-style"])
    assert len(frame) == 6 * 7
    assert not frame.duplicated(["task", "model", "direction", "metric"]).any()
    own = [r for r in beside if (r.kind, r.model) == ("retrieval", "ViT-Nano")]
    row = frame[
        (frame["model"] == "ViT-Nano")
        & (frame["direction"] == "text-to-image")
        & (frame["metric"] == "R@5")
    ].iloc[0]
    values = [r.details["text-to-image"]["R@5"]["value"] for r in own]
    assert (row["value"], row["seeds"]) == (pytest.approx(np.mean(values)), 2)
    shown = tables.CONTEXTS["retrieval"](frame)
    (block,) = shown["blocks"]
    assert all(len(row["cells"]) == 7 for row in block["rows"])
    for column in zip(*(row["cells"] for row in block["rows"]), strict=True):
        assert any("textbf" in cell for cell in column)
    assert shown["notes"] == ["SiMBA-Micro on Unseen style: no result"]


def test_probes_are_tidy_and_complete(beside):
    frame = tables.linear_probe(beside, models=[*made.MODELS, "SiMBA-Micro"])
    assert len(frame) == 6
    assert frame.dropna(subset="value")["c"].tolist() == pytest.approx([0.0316] * 5)
    shown = tables.CONTEXTS["linear_probe"](frame)
    assert shown["rows"][0]["train"] == "2,000"
    assert shown["notes"] == ["SiMBA-Micro on Unseen style, group: no result"]


@pytest.mark.parametrize("name", ["retrieval", "linear_probe"])
def test_tables_without_any_result(name, tmp_path):
    frame = getattr(tables, name)([], models=["ViT-Nano"], tasks=["a-set"])
    tex = tmp_path / "t.tex"
    tables.write(frame, name, tmp_path / "t.csv", tex, scale="demo", templates=TEMPLATES)
    assert "ViT-Nano on a-set: no result" in tex.read_text()


def test_the_tables_fit_a_page_of_the_report(paper, beside, tmp_path):
    frames = {
        "zeroshot": paper,
        "retrieval": tables.retrieval(beside),
        "linear_probe": tables.linear_probe(beside),
    }
    floats = ""
    for name, frame in frames.items():
        tex = tmp_path / f"{name}.tex"
        tables.write(frame, name, tmp_path / "t.csv", tex, scale="paper", templates=TEMPLATES)
        floats += rf"\begin{{table}}[p]\caption{{A table}}\input{{{name}}}\end{{table}}\clearpage "
    template = Path("paper/report.tex.j2").read_text()
    preamble = template[template.index(r"\documentclass") : template.index("((* macro")]
    preamble = re.sub(r"\\hypersetup\{.*\}\n", "", preamble)
    (tmp_path / "t.tex").write_text(rf"{preamble}\begin{{document}}{floats}\end{{document}}")
    shutil.copy("paper/references.bib", tmp_path)
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    log = (tmp_path / "t.log").read_text(errors="replace")
    assert not re.findall(r"Overfull|Float too large", log)
    assert "(3 pages" in log


def test_the_reports_points_are_in_outline(paper, tmp_path):
    figure = figures.efficiency(paper)
    outline = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert len(outline) == 6
    assert {line.get_xdata()[0] for line in outline} == set(
        published().groupby("model")["published_parameters"].first()
    )
    filled = figure.axes[0].containers
    assert len(filled) == 6
    figures.write(figure, tmp_path / "f.png")
    demo = figures.efficiency(tables.zeroshot(made.everything()))
    assert not [line for line in demo.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert figures.efficiency(tables.zeroshot([])).axes[0].texts


def test_the_figure_is_the_same_from_the_stored_table(paper, tmp_path):
    path = tmp_path / "zeroshot.csv"
    tables.write(paper, "zeroshot", path, tmp_path / "z.tex", scale="paper", templates=TEMPLATES)
    one, two = averages(paper), averages(tables.read_csv(path))
    np.testing.assert_allclose(one["high"].astype(float), two["high"].astype(float))
    assert len(one) == 6
    drawn = [figures.zeroshot_difference(frame) for frame in (paper, tables.read_csv(path))]
    points = [[line.get_xdata() for line in figure.axes[0].lines] for figure in drawn]
    for a, b in zip(*points, strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float))


def test_differences_are_drawn_by_task_with_the_mean_below(demo):
    (axes,) = figures.zeroshot_difference(demo).axes
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert shown == ["Unseen style group", "MNIST", "mean"]
    labels = [container.get_label() for container in axes.containers]
    assert labels == [
        "VMamba-Nano minus ViT-Nano", "VMamba-Micro minus ViT-Micro", "SiMBA-Nano minus ViT-Nano",
    ]  # fmt: skip
    own = demo[demo["model"] == "VMamba-Nano"].set_index("task")["gain"]
    points = axes.containers[0].lines[0].get_xdata()
    assert list(points) == pytest.approx(list(100 * own.loc[["unseen-style-group", "mnist", ""]]))
    assert figures.zeroshot_difference(tables.zeroshot(made.everything())).axes[0].texts


def test_a_task_without_a_family_is_last():
    figure = figures.accuracy(tables.zeroshot(made.everything()))
    placed = {
        axes.get_title(loc="left"): axes.get_subplotspec() for axes in figure.axes if axes.axison
    }
    alone = placed["MNIST"]
    assert (alone.rowspan.start, alone.colspan.start) == (1, 3)


def test_many_panels_fit_a_page_and_what_nobody_was_measured_on_has_none(paper):
    figure = figures.accuracy(paper)
    assert figure.get_size_inches()[1] <= 8.2
    names = {axes.get_title(loc="left") for axes in figure.axes if axes.axison}
    assert len(names) == 24 and not names & {"Kinetics700", "HatefulMemes"}


def test_a_seed_that_lacks_a_task_counts_where_it_was_measured(tmp_path):
    own = [r for r in made.everything((0, 1)) if r.task in {"mnist", "unseen-style-group"}]
    some = [r for r in own if (r.task, r.seed) != ("mnist", 1)]
    mean = averages(_measured(some, tmp_path)).set_index("model").loc["ViT-Nano"]
    frame = per_task(tables.zeroshot(some)).set_index("model")
    assert mean["value"] == pytest.approx(frame.loc["ViT-Nano", "value"].mean(), abs=0.005)
    assert mean["low"] < mean["value"] < mean["high"]


def test_what_is_missing_bears_the_mark_of_its_note():
    row = {"reason": "b is gone", "value": None, "low": None, "high": None}
    assert cells.share(row, gaps=["a is gone", "b is gone"]) == r"--\tnote{b}"
    assert cells.gap({"reason": None}, ["no result"]) == r"--\tnote{a}"
