"""What the interactive report says of each table and figure."""

from types import SimpleNamespace

import jinja2
import pytest

from clip_mamba import figures, tables
from tests.workflow.conftest import ROOT
from workflow import contents

NOT_FIGURES = {"corpus_sheet", "ood_condition", "write", "write_page"}


def caption(template, **job):
    """Fill in a caption as Snakemake does."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = (ROOT / "workflow/captions" / template).read_text()
    job = {"params": {"scale": "demo"}, **job}
    return environment.from_string(text).render(snakemake=SimpleNamespace(**job)).strip()


def test_every_figure_and_table_is_listed():
    assert set(contents.FIGURES) == set(figures.__all__) - NOT_FIGURES | {"corpus", "stimuli"}
    assert set(contents.TASKS) == set(tables.CONTEXTS)
    assert set(contents.MODELS) <= {*contents.FIGURES, *contents.TASKS}


@pytest.mark.parametrize("name", contents.FIGURES)
def test_a_figure_says_what_to_see_and_where_its_numbers_are(name):
    drawn = SimpleNamespace(png=f"results/figures/{name}.png")
    of_table = caption("figure.rst", input={"csv": "results/tables/a.csv"}, output=drawn)
    of_results = caption("figure.rst", input={"results": ["a.json", "b.json"]}, output=drawn)
    assert of_table[0].isupper()
    assert not of_table.startswith(("Measured at", "Drawn by"))
    assert f"``snakemake --cores all --force results/figures/{name}.png``" in of_table
    if name not in ("corpus", "stimuli"):
        assert "The numbers are in ``results/tables/a.csv``" in of_table
        assert "The numbers are in ``a.json``, ``b.json``" in of_results


@pytest.mark.parametrize("name", contents.TASKS)
def test_a_table_says_what_it_holds(name):
    output = SimpleNamespace(csv=f"results/tables/{name}.csv")
    text = caption("table.rst", output=output)
    assert text[0].isupper()
    assert not text.startswith("Measured at")
    assert f"``snakemake --cores all --force results/tables/{name}.csv``" in text


def test_labels_are_those_that_a_reader_looks_for():
    assert contents.figure_labels(SimpleNamespace(figure="ood_difference")) == {
        "task": "OOD",
        "figure": "Difference, paired",
        "model": "pairs",
    }
    assert contents.table_labels("hessian") == {
        "task": "Hessian",
        "table": "Curvature of the loss",
        "model": "all",
    }


@pytest.mark.parametrize(("scale", "warned"), [("demo", True), ("paper", False)])
def test_the_first_page_names_the_models_and_warns_of_the_demo(scale, warned):
    study = {"models": ["ViT-A", "VMamba-B"], "seeds": [0, 1], "zeroshot": ["mnist"]}
    study["variants"] = {"short": {"models": ["ViT-A"]}}
    page = caption("study.rst", config={"scale": scale, "scales": {scale: study}})
    assert f"CLIP-Mamba at {scale} scale" in page
    assert "- Models: ViT-A, VMamba-B\n- By another recipe: ``ViT-A@short``\n" in page
    assert ("The demo shows" in page) is warned
