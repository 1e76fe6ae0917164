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

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(840)]
STUDY = ["slurm/study.yaml", "tests/workflow/miniature.yaml", "tests/slurm/miniature.yaml"]
MODELS = ("ViT-Test", "VMamba-Test")


def running_job(slurm, model):
    """The number of a model's pretraining, if it runs."""
    found = slurm.jobs("%A %T %k")
    named = f"pretrain_wildcards_demo_{model}"
    return next((n for n, state, name in found if named in name and state == "RUNNING"), None)


def facts(slurm, number):
    """What Slurm says of a job."""
    shown = slurm.run("scontrol", "--oneliner", "show", "job", number)
    return dict(re.findall(r"(\w+)=(\S*)", shown))


def gives_way(slurm, number):
    """Whether a job is being, or has been, preempted."""
    found = facts(slurm, number)
    return found.get("PreemptTime", "None") != "None" or found.get("Restarts", "0") != "0"


def wait_for_checkpoints(clone, model):
    folder = clone / f"results/demo/pretrain/{model}-0"
    wait_until(lambda: len(list(folder.glob("step=*.ckpt"))) >= 2, 240, f"{model}'s checkpoints")


def preempt(slurm):
    """Take GPUs for a job of a higher partition; return the model that gave way, and its job."""
    jobs = {model: running_job(slurm, model) for model in MODELS}
    urgent = ["--partition=urgent", "--nodes=2", "--ntasks=2", "--gpus-per-node=1", "--mem=100"]
    slurm.run("sbatch", *urgent, "--output=/dev/null", "--wrap=sleep 1")
    chosen = lambda: [model for model in MODELS if gives_way(slurm, jobs[model])]  # noqa: E731
    wait_until(chosen, 30, "a preemption")
    (model,) = chosen()
    return model, jobs[model]


def cancel(slurm, clone, model):
    """Cancel a pretraining that has checkpoints; return its job."""
    wait_for_checkpoints(clone, model)
    wait_until(lambda: running_job(slurm, model), 120, f"{model}'s pretraining")
    number = running_job(slurm, model)
    slurm.run("scancel", number)
    return number


@pytest.fixture(scope="module")
def finished(accounted, tmp_path_factory):
    """A run in which one pretraining is preempted and the other cancelled."""
    clone = copy_project(tmp_path_factory.mktemp("study") / "clip-mamba")
    fill_in(clone / "slurm/config.yaml", **SITE)
    snakemake = start(accounted, clone, "--configfile", *STUDY)
    wait_for_checkpoints(clone, "ViT-Test")
    model, preempted = preempt(accounted)
    (other,) = set(MODELS) - {model}
    cancelled = cancel(accounted, clone, other)
    code = snakemake.wait(600)
    assert code == 0, said(clone)[-6000:]
    queue = accounted.jobs("%A|%T|%N|%k|%M")
    kept = [" ".join(line).split("|") for line in queue]
    return clone, kept, preempted, cancelled


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


def test_a_preempted_and_a_cancelled_pretraining_go_on_from_their_checkpoints(finished, accounted):
    clone, queue, preempted, cancelled = finished
    states = {number: state for number, state, *_ in queue}
    # The first returned to the queue under its number; the second was submitted anew.
    assert states[preempted] == "COMPLETED" and facts(accounted, preempted)["Restarts"] == "1"
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
