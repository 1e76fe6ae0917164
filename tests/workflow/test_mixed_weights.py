"""A study whose models are partly pretrained, partly given: from end to end."""

import json
import re
import subprocess

import pandas as pd
import pytest
import yaml

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from tests.workflow.conftest import MINIATURE, copy_project, snakemake


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("mixed") / "clip-mamba")
    model, _, _ = create_model("VMamba-Test")
    save_weights(project / "given.safetensors", model, {"model": "VMamba-Test"})
    study = {
        "models": ["ViT-Test", "VMamba-Test"],
        "weights": {"VMamba-Test": "given.safetensors"},
        "variants": {"as-published": {"models": []}},
        "zeroshot": ["unseen-style-group", "mnist"],
        "retrieval": [],
        "linear_probe": [],
    }
    (project / "mixed.yaml").write_text(yaml.safe_dump({"scales": {"demo": study}}))
    done = snakemake(project, config=[MINIATURE, "mixed.yaml"])
    assert done.returncode == 0, done.stderr[-6000:]
    return project


@pytest.mark.timeout(600)
def test_both_kinds_of_weights_are_in_every_table(finished):
    tables = finished / "results/tables"
    assert not list((finished / "results/demo/pretrain").glob("VMamba*"))
    for name in ("zeroshot", "ood", "hessian"):
        measured = pd.read_csv(tables / f"{name}.csv").dropna(subset=["value"])
        assert {"ViT-Test", "VMamba-Test"} <= set(measured["model"]), name
    for run in ("ViT-Test-0", "VMamba-Test-given"):
        result = json.loads((finished / f"results/demo/hessian/{run}.json").read_text())
        assert result["value"] > 0


@pytest.mark.timeout(60)
def test_the_report_is_made_and_does_not_say_that_all_were_trained_here(finished):
    words = subprocess.run(
        ["pdftotext", "-layout", "paper/report.pdf", "-"],
        cwd=finished,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    text = " ".join(words.split())
    assert "VMamba-Test" in text and "??" not in text
    assert not re.search(r"all (two )?(models )?(are |were )?trained from scratch", text)
