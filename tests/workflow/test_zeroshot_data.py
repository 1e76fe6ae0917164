"""All 26 tasks through the rules that a user runs: fetched, prepared, scored."""

import io
import json

import numpy as np
import pytest
import torch
import yaml
from open_clip import build_zero_shot_classifier
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from clip_mamba.data.tasks import Task
from clip_mamba.data.zeroshot_sets.table import read_entries
from clip_mamba.results import Result
from tests.data.zeroshot import miniatures
from tests.data.zeroshot.miniatures import FORMATS, Site, class_names, picture, truth
from tests.http_server import serve
from tests.workflow.conftest import ROOT, copy_project, snakemake
from workflow.configuration import mistakes

ENTRIES = read_entries()
TASKS = list(ENTRIES)
CLIPS = {"ucf101", "kinetics700"}
# One name a class, and pictures that are stored as they came: open_clip's classifier must agree.
PLAIN = [n for n in TASKS if n not in CLIPS and all(len(c) == 1 for c in class_names(ENTRIES[n]))]
PROBES = ["cub", "pets"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A project whose paper scale is one tiny given model, with the whole web on the loopback."""
    folder = tmp_path_factory.mktemp("zeroshot")
    project, site = copy_project(folder / "project"), Site(folder / "web")
    torch.manual_seed(0)
    model, _, _ = create_model("ViT-Test")
    save_weights(folder / "given.safetensors", model, {"model": "ViT-Test"})
    miniatures.put_prompts(site)
    miniatures.put_retrieval(site, "flickr30k")
    for name in TASKS:
        if not ENTRIES[name].gated:
            miniatures.put_task(site, ENTRIES[name])
    miniatures.put_task(site, ENTRIES["pets"], "train")
    memes = miniatures.put_hateful_memes(folder / "memes", ENTRIES["hateful-memes"])
    clips = miniatures.put_kinetics(folder / "clips", ENTRIES["kinetics700"])
    with serve(site.folder) as server:
        override = {
            "scale": "paper",
            "gated": {"hateful-memes": str(memes), "kinetics700": str(clips)},
            "downloads": {
                "mirrors": {"https://": f"{server.url}/"},
                "checksums": str(folder / "checksums.tsv"),
            },
            "scales": {
                "paper": {
                    "models": ["ViT-Test"],
                    "image_size": 16,
                    "weights": {"ViT-Test": str(folder / "given.safetensors")},
                    "zeroshot": TASKS,
                    "linear_probe": PROBES,
                    "retrieval": ["flickr30k"],
                    "tasks_per_job": None,
                }
            },
        }
        (folder / "override.yaml").write_text(yaml.safe_dump(override))
        targets = [f"results/paper/zeroshot/ViT-Test-given/{name}.json" for name in TASKS]
        targets += [f"results/paper/linear-probe/ViT-Test-given/{name}.json" for name in PROBES]
        targets.append("results/paper/retrieval/ViT-Test-given/flickr30k.json")
        done = snakemake(project, *targets, config=str(folder / "override.yaml"))
        assert done.returncode == 0, done.stderr[-6000:]
        again = snakemake(project, *targets, config=str(folder / "override.yaml"))
        assert "Nothing to be done" in again.stdout + again.stderr
    return project


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("scales", "paper", "retrieval"), ["flickr30"], "did you mean 'flickr30k'?"),
        (("scales", "paper", "linear_probe"), ["sun397"], "sun397 has no training pictures"),
        (("scales", "demo", "linear_probe"), ["mnist"], "tested on what it was trained on"),
        (("gated", "kinetics700"), "/no/such/folder", "'/no/such/folder' is no folder"),
        (("gated", "kinetics"), None, "did you mean 'kinetics700'?"),
    ],
)
def test_a_mistake_about_tasks_is_named(path, value, said):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    section = config
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    (line,) = mistakes(config)
    assert line.startswith("config.yaml: ") and said in line


@pytest.fixture(scope="module")
def clip(study):
    return create_model("ViT-Test", weights=study.parent / "given.safetensors")


def logits(clip, name, pictures):
    """The model's answers by open_clip's own classifier."""
    model, preprocess, tokenizer = clip
    names = [synonyms[0] for synonyms in class_names(ENTRIES[name])]
    templates = ["a photo of <{}>.".format, "one <{}>".format]
    classifier = build_zero_shot_classifier(model, tokenizer, names, templates)
    images = torch.stack([preprocess(Image.open(io.BytesIO(p)).convert("RGB")) for p in pictures])
    with torch.no_grad():
        return (model.encode_image(images, normalize=True) @ classifier).numpy()


def result(study, kind, name):
    return Result.read(study / f"results/paper/{kind}/ViT-Test-given/{name}.json")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLAIN)
def test_the_score_is_that_of_the_source_pictures(study, clip, name):
    entry = ENTRIES[name]
    kinds = {"cub": "jpg", "hateful-memes": "png"}
    kind = kinds.get(name, FORMATS[len(name) % len(FORMATS)])
    answers = logits(clip, name, [picture(number, kind) for number in range(8)])
    right = np.array([truth(entry, number) for number in range(8)])
    expected = {
        "top1": lambda: accuracy_score(right, answers.argmax(1)),
        "mean_per_class": lambda: balanced_accuracy_score(right, answers.argmax(1)),
        "roc_auc": lambda: roc_auc_score(right, answers[:, 1] - answers[:, 0]),
    }[entry.metric]()
    found = result(study, "zeroshot", name)
    assert found.value == pytest.approx(expected) and found.examples == 8
    assert (found.split, found.metric) == (entry.split, entry.metric)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_scored(study, name):
    found = result(study, "zeroshot", name)
    assert found.examples == Task.read(study / f"results/paper/data/zeroshot/{name}").examples == 8
    assert 0 <= found.value <= 1 and found.metric == ENTRIES[name].metric


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_trained_on_the_training_split(study, name):
    task = Task.read(study / f"results/paper/data/linear-probe/{name}")
    assert task.train.examples == 8
    assert result(study, "linear-probe", name).value is not None


def test_retrieval_is_measured(study):
    found = result(study, "retrieval", "flickr30k")
    assert found.examples and 0 <= found.value <= 1
    facts = json.loads(
        (study / "results/paper/data/retrieval/flickr30k/retrieval.json").read_text()
    )
    assert (facts["images"], facts["captions"]) == (8, 16)


@pytest.mark.timeout(120)
def test_the_whole_study_plans_every_fetch_and_preparation(study):
    done = snakemake(study, "-n", "--forceall", "--config", "scale=paper", config=None)
    assert done.returncode == 0, done.stderr[-3000:]
    planned = done.stdout + done.stderr
    for name, entry in ENTRIES.items():
        assert f"output: results/paper/data/zeroshot/{name}\n" in planned
        if not entry.gated:
            assert f"results/paper/data/raw/zeroshot/{name}/test.json" in planned


@pytest.mark.timeout(120)
def test_an_absent_gated_set_leaves_a_result_with_the_reason(study):
    """Last in the file: it takes the folder of clips away."""
    override = yaml.safe_load((study.parent / "override.yaml").read_text())
    override["gated"]["kinetics700"] = None
    (study.parent / "absent.yaml").write_text(yaml.safe_dump(override))
    target = "results/paper/zeroshot/ViT-Test-given/kinetics700.json"
    done = snakemake(study, target, config=str(study.parent / "absent.yaml"))
    assert done.returncode == 0, done.stderr[-3000:]
    found = result(study, "zeroshot", "kinetics700")
    assert found.value is None and "gated: kinetics700 in config.yaml" in found.reason
    assert result(study, "zeroshot", "food101").value is not None
