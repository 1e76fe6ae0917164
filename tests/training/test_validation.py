"""Zero-shot validation scores the averaged weights and leaves the training alone."""

import json

import pytest
import torch

from clip_mamba import create_model
from clip_mamba.data.shards import write_tar
from clip_mamba.data.tasks import Task
from clip_mamba.files import sha256
from clip_mamba.training.running import Running
from clip_mamba.training.validation import ZeroShotValidation
from tests.data.test_pairs import picture
from tests.training_runs import train

RARELY = Running(checkpoint_seconds=None)


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "colours"
    folder.mkdir()
    samples = []
    for number in range(8):
        facts = json.dumps({"concept": str(number)}).encode()
        files = {"png": picture(number), "cls": str(number % 2).encode(), "json": facts}
        samples.append((f"{number:03d}", files))
    write_tar(folder / "test.tar", samples)
    Task(
        name="colours", title="Colours", split="test", classes=[["red"], ["blue"]],
        templates=["a {} square"], examples=8, chance=0.5, majority=0.5, neighbours_reason="none",
        licence="none", source="this test", sha256=sha256(folder / "test.tar"),
    ).write(folder / "task.json")  # fmt: skip
    return folder


def test_validation_is_recorded_and_disturbs_nothing(tmp_path, task, capsys):
    _, preprocess, tokenizer = create_model("ViT-Test")
    validation = ZeroShotValidation([task], 4, preprocess, tokenizer)
    plain = train(tmp_path / "a", "ViT-Test", running=RARELY, epochs=2)
    scored = train(tmp_path / "b", "ViT-Test", running=RARELY, epochs=2, extra=[validation])
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, scored.model.state_dict()[key])
    assert [point["step"] for point in scored.validation] == [4, 8, 12]
    assert all(0 <= point["colours"] <= 1 for point in scored.validation)
    assert "step 4: colours 0." in capsys.readouterr().out


def test_a_task_that_is_absent_is_left_out_with_its_reason(tmp_path, capsys):
    folder = tmp_path / "gated"
    folder.mkdir()
    (folder / "task.json").write_text(json.dumps({"missing": "the pictures are gated"}))
    assert ZeroShotValidation([folder], 4, None, None).tasks == []
    assert "no validation on gated: the pictures are gated" in capsys.readouterr().out
