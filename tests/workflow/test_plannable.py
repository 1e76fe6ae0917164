"""What the check of the configuration accepts can be planned, and an old report hides nothing."""

import re
import shutil

import pytest
import yaml

from tests.workflow.conftest import ROOT, copy_project, snakemake
from workflow.configuration import mistakes
from workflow.cross_checks import model_names, probe_names, retrieval_names, task_names

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
OWN_SHARDS = yaml.safe_load((ROOT / "docs/own_shards.yaml").read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone without any result, and a user's folders beside it."""
    folder = copy_project(tmp_path_factory.mktemp("plan") / "clip-mamba")
    shutil.rmtree(folder / "results", ignore_errors=True)
    for name in ("task/one", "task/two", "rain/light"):
        (folder / "mine" / name).mkdir(parents=True)
    (folder / "mine/0.tar").touch()
    return folder


def planned(clone, changes, *targets):
    """Plan a study that is merged over config.yaml."""
    (clone / "study.yaml").write_text(yaml.safe_dump(changes))
    return snakemake(clone, "-n", *targets, config="study.yaml")


def everything(kind, ood):
    """All names that a study may have whose corpus is of a kind."""
    task = {"folder": "mine/task", "templates": ["a {}."]}
    study = {
        "zeroshot": task_names(kind, ["own"]),
        "retrieval": retrieval_names(kind),
        "linear_probe": probe_names(kind),
        "ood": {**ood, "folders": {"rain": {"folder": "mine/rain", "levels": ["light"]}}},
    }
    return study, {"own": task}


def own_shards():
    corpus = OWN_SHARDS["scales"]["demo"]["corpus"]
    return {**corpus, "shards": "mine/*.tar"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("scale", "corpus", "ood"),
    [
        ("demo", {"kind": "emoji"}, {}),
        ("demo", own_shards(), {}),
        ("paper", {"kind": "yfcc15m"}, {}),
        ("paper", own_shards(), {"source": "drawings", **CONFIG["scales"]["demo"]["ood"]}),
        ("paper", own_shards(), {}),
    ],
    ids=["emoji", "own-shards", "yfcc15m", "own-shards-drawings", "own-shards-releases"],
)
def test_every_accepted_task_set_and_condition_can_be_planned(clone, scale, corpus, ood):
    study, tasks = everything(corpus["kind"], ood)
    study["corpus"] = corpus
    done = planned(clone, {"scale": scale, "tasks": tasks, "scales": {scale: study}})
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    runs = int(jobs["hessian"])
    assert runs == int(jobs["ood"]) == int(jobs["linear_probe"]) == int(jobs["retrieval"]) > 0
    assert jobs["pack_ood_folder"] == jobs["build_folder_task"] == "1"
    assert int(jobs["prepare_task"]) == 26 - (corpus["kind"] == "emoji")


@pytest.mark.timeout(120)
def test_every_accepted_model_can_be_planned(clone):
    models = model_names()
    assert any("_" in name for name in models)
    kinds = ("hessian/{}-0.json", "ood/{}-0/sketch.json", "zeroshot/{}-0/mnist.json")
    targets = [f"results/demo/{kind.format(name)}" for name in models for kind in kinds]
    done = planned(clone, {}, *targets)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert {jobs[kind] for kind in ("pretrain", "hessian", "ood", "zeroshot")} == {str(len(models))}


@pytest.mark.timeout(120)
def test_a_study_that_cannot_be_measured_is_refused_beside_an_old_report(clone):
    # Nothing known passes the check and cannot be made, so a rule is taken away.
    rules = clone / "workflow/rules/data.smk"
    whole = rules.read_text()
    assert whole.count('task="unseen-.+"') == 1
    rules.write_text(whole.replace('task="unseen-.+"', 'task="unseen-style-.+"'))
    old = ["paper/report.pdf", "paper/report.tex", "results/tables/zeroshot.tex"]
    try:
        for name in old:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).touch()
        done = planned(clone, {})
        assert done.returncode != 0
        assert "unseen-concepts" in done.stdout + done.stderr
    finally:
        rules.write_text(whole)
        for name in old:
            (clone / name).unlink()


def test_the_check_accepts_what_is_planned_here():
    study, _ = everything("emoji", {})
    del study["ood"]
    study["zeroshot"].remove("own")
    changed = {**CONFIG["scales"]["demo"], **study}
    assert mistakes({**CONFIG, "scales": {**CONFIG["scales"], "demo": changed}}) == []
