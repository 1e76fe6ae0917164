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
from clip_mamba.tables.averages import averages
from clip_mamba.tables.published import NAMES, PUBLISHED, published, titles

TEMPLATES = "paper/tables"


@pytest.fixture(scope="module")
def paper():
    results = made.paper_zero_shot(absent=("hateful-memes", "kinetics700"))
    gone = [r for r in results if (r.model, r.task) != ("ViT-L-16", "imagenet")]
    return tables.zeroshot(gone, models=list(made.PAPER_MODELS), tasks=list(titles()))


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
        assert mean.loc[model, "value"] == pytest.approx(own["value"].mean())
        assert mean.loc[model, "published"] == pytest.approx(own["published"].mean())
        half = math.sqrt((own["above"] ** 2).sum()) / 23
        assert mean.loc[model, "high"] - mean.loc[model, "value"] == pytest.approx(half)


def test_tasks_on_the_same_pictures_do_not_narrow_the_interval():
    results = [r for r in made.everything() if r.task.startswith("unseen-style")]
    frame = tables.zeroshot(results)
    mean = averages(frame).set_index("model")
    own = frame[frame["model"] == "ViT-Nano"]
    half = mean.loc["ViT-Nano", "high"] - mean.loc["ViT-Nano", "value"]
    assert half == pytest.approx(own["above"].mean())


def test_the_interval_of_a_mean_sees_seeds_and_not_only_examples():
    one = averages(tables.zeroshot(made.paper_zero_shot()))
    three = averages(tables.zeroshot(made.paper_zero_shot(seeds=(0, 1, 2))))
    widths = [float((frame["high"] - frame["low"]).mean()) for frame in (one, three)]
    assert widths[1] > widths[0]
    assert len(averages(tables.zeroshot([], models=["ViT-Nano"]))) == 0


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
        bold = sum("textbf" in cell for cell in row["cells"])
        assert bold == (row["title"] not in {"Kinetics700", "HatefulMemes"})
    assert shown["notes"] == [
        f"Kinetics700, HatefulMemes: {made.ABSENT}",
        "ViT-L-16 on ImageNet: no result",
    ]
    assert shown["splits"] == ["EuroSAT (test; report: val)"]


def test_the_demo_is_not_compared_with_the_report():
    shown = tables.CONTEXTS["zeroshot"](tables.zeroshot(made.everything()))
    assert (shown["compared"], shown["has_baseline"]) == (False, True)
    assert sum("textbf" in cell for cell in shown["average"]) == 1


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
        assert sum("textbf" in cell for cell in column) == 1
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
