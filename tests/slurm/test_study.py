"""The miniature study through the literal command: two nodes, two ranks, accidents, the PDF."""

import json
import re
import shutil
from pathlib import Path

import pytest

from clip_mamba.results import Result
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import SITE, fill_in, said, start
from tests.workflow.conftest import copy_project

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(660)]
STUDY = ["slurm/study.yaml", "tests/workflow/miniature.yaml", "tests/slurm/miniature.yaml"]
MODELS = ("ViT-Test", "VMamba-Test")


def job_of(slurm, model):
    """Number and state of a model's pretraining, the newest first."""
    found = slurm.jobs("%A %T %k")
    return [
        (n, state) for n, state, comment in found if f"pretrain_wildcards_demo_{model}" in comment
    ]


def interrupt(slurm, clone, model, *command):
    """Strike a pretraining once it has two checkpoints; return the step of the last."""
    checkpoints = clone / f"results/demo/pretrain/{model}-0"
    wait_until(
        lambda: len(list(checkpoints.glob("step=*.ckpt"))) >= 2, 240, f"{model}'s checkpoints"
    )
    number = next(n for n, state in job_of(slurm, model) if state == "RUNNING")
    slurm.run(*command, number)
    return number


@pytest.fixture(scope="module")
def finished(accounted, tmp_path_factory):
    """A run whose two pretrainings are interrupted, one by a requeue, one by SIGTERM."""
    clone = copy_project(tmp_path_factory.mktemp("study") / "clip-mamba")
    fill_in(clone / "slurm/config.yaml", **SITE)
    snakemake = start(accounted, clone, "--configfile", *STUDY)
    requeued = interrupt(accounted, clone, "ViT-Test", "scancel", "--signal=USR1")
    cancelled = interrupt(accounted, clone, "VMamba-Test", "scancel")
    code = snakemake.wait(480)
    assert code == 0, said(clone)[-6000:]
    queue = accounted.jobs("%A|%T|%N|%k|%M")
    kept = [" ".join(line).split("|") for line in queue]
    return clone, kept, requeued, cancelled


def test_every_stage_leaves_its_results(finished):
    results = finished[0] / "results/demo"
    for model in MODELS:
        trained = Result.read(results / f"pretrain/{model}-0.json")
        assert trained.details["processes"] == 2
        assert Result.read(results / f"hessian/{model}-0.json").weights_sha256 == (
            trained.weights_sha256
        )
        assert len(list((results / f"ood/{model}-0").glob("*.json"))) == 17
        assert len(list((results / f"zeroshot/{model}-0").glob("*.json"))) == 2
    assert (finished[0] / "paper/report.pdf").read_bytes().startswith(b"%PDF")


def test_both_nodes_worked(finished):
    nodes = {node for _, state, node, _, _ in finished[1] if state == "COMPLETED"}
    assert {"n1", "n2"} <= nodes
    pretraining = [node for _, _, node, comment, _ in finished[1] if "pretrain" in comment]
    assert set(pretraining) == {"n[1-2]"}


def test_a_requeued_and_a_cancelled_pretraining_go_on_from_their_checkpoints(finished):
    clone, queue, requeued, cancelled = finished
    states = {number: state for number, state, *_ in queue}
    # The first returned to the queue under its number; the second was submitted anew.
    assert states[requeued] == "COMPLETED"
    assert states[cancelled] == "CANCELLED"
    for model in MODELS:
        log = (clone / f"results/logs/demo/pretrain/{model}-0.log").read_text()
        step = int(re.search(r"continuing from .*step=(\d+)\.ckpt", log)[1])
        assert step > 0
        history = json.loads((clone / f"results/demo/pretrain/{model}-0.json").read_text())[
            "details"
        ]["history"]
        steps = [point["step"] for point in history]
        assert steps == sorted(set(steps)) and steps[0] < step < steps[-1]


def test_command_and_logs_are_those_of_the_docs(finished):
    clone, *_ = finished
    logs = clone / "results/logs"
    page = (clone / "docs/cluster.md").read_text()
    assert f"snakemake --cores all --profile slurm --configfile {' '.join(STUDY)}\n" in page
    assert "results/logs/slurm/rule_<rule>/" in page
    assert "results/logs/<scale>/" in page
    assert any((logs / "slurm/rule_pretrain").rglob("*.log"))
    for stage in ("data", "pretrain", "zeroshot", "ood", "hessian"):
        assert any((logs / "demo" / stage).glob("*.log")), stage


def test_small_jobs_shared_submissions(finished):
    comments = [comment for _, _, _, comment, _ in finished[1]]
    assert sum("make_stimuli" in comment for comment in comments) <= 4
    assert not any(comment.startswith(("rule_table", "rule_plot_wild")) for comment in comments)


def test_a_second_run_has_nothing_to_do(finished, accounted):
    clone, *_ = finished
    shutil.move(clone.with_suffix(".txt"), clone.with_suffix(".first"))
    assert start(accounted, clone, "--configfile", *STUDY).wait(60) == 0
    assert "Nothing to be done" in said(clone)
    assert Path(clone.with_suffix(".first")).exists()
