"""Weights from elsewhere stand in for a pretraining, by an edit of the configuration."""

import re
import shutil

import pytest
import yaml

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from tests.workflow.conftest import ROOT, snakemake

PAGE = ROOT / "docs/adding.md"


@pytest.fixture
def configured(project, tmp_path):
    """Return a function that writes an override of one scale's ``weights``."""

    def write(scale, weights):
        path = tmp_path / "weights.yaml"
        path.write_text(yaml.safe_dump({"scale": scale, "scales": {scale: {"weights": weights}}}))
        return str(path)

    return write


def planned(output):
    """Return rule -> number of jobs from a dry run."""
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def test_released_weights_replace_every_pretraining_that_they_can(project, configured):
    models = ("VMamba-T220", "VMamba-S", "VMamba-B", "SiMBA-L")
    config = configured("paper", dict.fromkeys(models, "released"))
    done = snakemake(project, "-n", "results/tables/hessian.tex", config=config)
    assert done.returncode == 0, done.stderr
    jobs = planned(done.stdout)
    assert jobs["fetch_released"] == jobs["convert_released"] == 4
    assert jobs["pretrain"] == 2 and jobs["hessian"] == 6


def test_scores_of_released_weights_need_no_training_data(project, tmp_path):
    (command,) = re.findall(r"^snakemake .*zeroshot.*$", PAGE.read_text(), re.MULTILINE)
    tables = re.search(r"results/tables/{(.*)}.tex --config scale=paper$", command)[1]
    targets = [f"results/tables/{table}.tex" for table in tables.split(",")]
    study = {"models": ["VMamba-S", "SiMBA-L"], "weights": "released"}
    override = tmp_path / "released.yaml"
    override.write_text(yaml.safe_dump({"scale": "paper", "scales": {"paper": study}}))
    done = snakemake(project, "-n", *targets, config=str(override))
    assert done.returncode == 0, done.stderr
    jobs = planned(done.stdout)
    assert jobs["convert_released"] == jobs["ood"] == 2
    assert not [rule for rule in jobs if "yfcc" in rule or rule in {"pretrain", "hessian"}]


def test_a_users_own_checkpoint_is_evaluated(project, configured, tmp_path):
    model, _, _ = create_model("VMamba-Test")
    save_weights(tmp_path / "own.safetensors", model, {"model": "VMamba-Test"})
    config = configured("demo", {"ViT-Nano": str(tmp_path / "own.safetensors")})
    target = "results/demo/weights/ViT-Nano-given.safetensors"
    done = snakemake(project, target, config=config)
    assert done.returncode != 0 and "does not fit the model" in done.stdout + done.stderr
    model, _, _ = create_model("ViT-Nano")
    save_weights(tmp_path / "own.safetensors", model, {"model": "ViT-Nano"})
    done = snakemake(project, target, config=config)
    assert done.returncode == 0, done.stderr
    assert (project / target).exists()
    shutil.rmtree(project / "results/demo/weights")
