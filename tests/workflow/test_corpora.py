"""Corpora by an edit of the configuration: web server, own shards or TSVs, to weights."""

import json
import os

import pytest
import yaml

from clip_mamba.data import img2dataset
from clip_mamba.data.shard_index import check_shards
from tests.data.small_yfcc import HOST, SmallYfcc
from tests.data.test_tsv_corpus import write_corpus
from tests.download_environment import FOLDER, download_python
from tests.http_server import serve
from tests.workflow.conftest import ROOT, copy_project, snakemake
from workflow.configuration import mistakes

COUNT = 60
LIST = "yfcc100m_subset_data.tsv.bz2"


def yfcc15m(url: str) -> dict:
    """The paper's section, for a list of 60 photos."""
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())["scales"]["paper"]["corpus"]
    return shipped | {
        "list": f"{url}/{LIST}",
        "listed": COUNT,
        "metadata": [f"{url}/yfcc100m_dataset.sql"],
        "images": "flickr",
        "n_pairs": COUNT - 3,
        "tolerance": 0,
        "slices": 2,
        "image_size": 24,
        "per_shard": 16,
        "processes": 1,
        "threads": 4,
        "retries": 0,
    }


def configure(project, corpus: dict, mirrors: dict) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    small = yaml.safe_load((ROOT / "tests/workflow/miniature.yaml").read_text())
    config["recipes"] |= small["recipes"]
    config["recipes"]["miniature"]["settings"]["batch_size"] = 16
    study = config["scales"]["demo"]
    study |= {"corpus": corpus, "models": ["VMamba-Test"], "recipe": "miniature", "image_size": 16}
    study |= {"zeroshot": ["mnist"], "retrieval": [], "linear_probe": [], "variants": {}}
    study["training"] |= {"validation_tasks": []}
    config["downloads"]["mirrors"] = mirrors
    (project / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    download_python()
    (FOLDER / img2dataset.MARK).touch()
    folder = copy_project(tmp_path_factory.mktemp("corpora") / "clip-mamba")
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "environments").symlink_to(FOLDER.parent)
    return folder


def test_from_a_web_server_to_weights(project, tmp_path):
    yfcc = SmallYfcc(tmp_path / "site", COUNT)
    yfcc.write_sqlite()
    with serve(yfcc.folder) as server:
        configure(project, yfcc15m(server.url), {HOST: f"{server.url}/"})
        done = snakemake(project, "results/demo/pretrain/VMamba-Test-0.json", config=None)
    assert done.returncode == 0, done.stderr[-3000:]
    train = project / "results/demo/data/yfcc15m/train"
    index = check_shards(train / "index.json", whole=True)
    # Each of the 60 photos is a pair or is counted under the reason why it is none.
    assert index["pairs"] == 50
    assert index["pairs"] + sum(index["left_out"].values()) == index["listed"] == COUNT
    assert index["left_out"]["not downloaded: HTTP Error 404: File not found"] == 2
    assert index["left_out"]["listed photos without metadata"] == 1
    assert index["repaired_captions"] == 1
    assert {shard["name"].split("/")[0] for shard in index["shards"]} == {
        "slice-00000",
        "slice-00001",
    }
    result = json.loads((project / "results/demo/pretrain/VMamba-Test-0.json").read_text())
    assert result["examples"] == 50 and result["data_sha256"] == index["sha256"]
    assert result["details"]["steps"] == 6
    # The downloads were recorded for the next time.
    checksums = (project / "data/checksums.tsv").read_text()
    assert LIST in checksums and "yfcc100m_dataset.sql" in checksums


def test_a_users_own_shards_need_a_config_edit(project):
    shards = f"{project}/results/demo/data/yfcc15m/train/slice-*/shards/*.tar"
    common = {"n_pairs": 50, "tolerance": 0.1, "limit": None, "max_pixels": 89_478_485}
    corpus = {"kind": "webdataset", "shards": shards, **common}
    configure(project, corpus, {})
    target = "results/demo/data/webdataset/train/index.json"
    done = snakemake(project, target, config=None)
    assert done.returncode == 0, done.stderr[-3000:]
    index = check_shards(project / target)
    assert index["pairs"] == 50 and os.path.isabs(index["shards"][0]["name"])
    # One shard is cut off later: the next run notices, and names it in one line.
    shard = sorted((project / "results/demo/data/yfcc15m/train").glob("slice-*/shards/*.tar"))[0]
    shard.write_bytes(shard.read_bytes()[:2000])
    done = snakemake(project, target, config=None)
    assert done.returncode != 0
    # Once from the job, once in the summary at the end.
    said = {line.strip(" |") for line in done.stderr.splitlines() if "is truncated" in line}
    assert len(said) == 1 and f"the shard {shard} is truncated" in said.pop()
    assert "Traceback" not in done.stderr


def test_the_references_files_need_a_config_edit(project, tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    common = {"n_pairs": 10, "tolerance": 0, "limit": None, "max_pixels": 89_478_485}
    configure(project, {"kind": "tsv", "folder": str(folder), "per_shard": 3, **common}, {})
    target = "results/demo/data/tsv/train/index.json"
    done = snakemake(project, target, config=None)
    assert done.returncode == 0, done.stderr[-3000:]
    index = check_shards(project / target, whole=True)
    assert index["pairs"] == 10 and len(index["shards"]) == 4


WEBDATASET = {"kind": "webdataset", "n_pairs": None, "tolerance": 0.02, "limit": None}
WEBDATASET["max_pixels"] = 89_478_485
TSV = {**WEBDATASET, "kind": "tsv", "per_shard": 1000}


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        ({"kind": "webdatset"}, "unknown value 'webdatset'; did you mean 'webdataset'?"),
        ({**WEBDATASET, "shard": "x"}, "unknown key 'shard'; did you mean 'shards'?"),
        ({**WEBDATASET, "shards": "/nowhere/*.tar"}, "no file matches '/nowhere/*.tar'"),
        ({**WEBDATASET, "shards": "/n/{0..1.tar"}, "a brace without its other"),
        ({**TSV, "folder": "/nowhere"}, "/nowhere has no train-image-*.tsv"),
        ({**yfcc15m(""), "limit": 1}, "2 slices of 1 pictures; take fewer slices"),
        ({**yfcc15m(""), "images": "flicker"}, "'flicker' is neither an address nor one of"),
        ({**yfcc15m(""), "images": "http://x/{name}"}, "unknown part 'name'; known: {id}"),
        ({**yfcc15m(""), "min_success": 2}, "2 is greater than the maximum of 1"),
        ({**yfcc15m("http://x"), "list": "/n/list.bz2"}, "'/n/list.bz2' is neither an address nor"),
        ({**yfcc15m("http://x"), "metadata": ["/n/*.sql"]}, "'/n/*.sql' is neither an address nor"),
    ],
)
def test_a_mistake_in_the_section_is_named(corpus, said):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["scales"]["demo"]["corpus"] = corpus
    found = mistakes(config)
    assert any(said in line and "scales.demo.corpus" in line for line in found), found
    assert not any("\n" in line for line in found)
