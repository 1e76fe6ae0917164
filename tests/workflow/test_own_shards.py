"""docs/own_shards.yaml, with the two paths changed: an index is built, and the rest is planned."""

import io

import pytest
from PIL import Image

from clip_mamba.data.shard_index import check_shards
from clip_mamba.data.shards import write_tar
from tests.workflow.conftest import copy_project, snakemake

EXAMPLE = "docs/own_shards.yaml"


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (shade, 90, 200 - shade)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def project(tmp_path):
    folder = copy_project(tmp_path / "clip-mamba")
    pairs = [(f"{i:04d}", {"png": picture(i), "txt": b"a colour"}) for i in range(30)]
    (tmp_path / "mine").mkdir()
    write_tar(tmp_path / "mine/0.tar", pairs[:20])
    write_tar(tmp_path / "mine/1.tar", pairs[20:])
    for name in ("one", "two"):
        (tmp_path / "my-task" / name).mkdir(parents=True)
    text = (folder / EXAMPLE).read_text()
    assert text.count("/data/m") == 2
    (folder / EXAMPLE).write_text(text.replace("/data/m", f"{tmp_path}/m"))
    return folder


@pytest.mark.timeout(120)
def test_the_example_goes_from_shards_to_the_report(project):
    target = "results/demo/data/webdataset/train/index.json"
    done = snakemake(project, target, config=EXAMPLE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert check_shards(project / target)["pairs"] == 30
    done = snakemake(project, "-n", config=EXAMPLE)
    assert done.returncode == 0, done.stderr[-3000:]
    rules = {line.split()[0] for line in done.stdout.splitlines() if line[-1:].isdigit()}
    assert {"pretrain", "build_folder_task", "make_stimuli", "compile_report"} <= rules
    assert not rules & {"build_emoji_task", "pixel_baseline", "retrieval", "index_webdataset"}
