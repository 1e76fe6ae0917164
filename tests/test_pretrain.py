"""Runs in one process: they learn, resume exactly, and stop cleanly."""

import errno
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from clip_mamba.pretrain import last_checkpoint
from clip_mamba.training import checkpoints
from clip_mamba.training.checkpoints import CheckpointError
from clip_mamba.training.module import ClipModule
from clip_mamba.training.preemption import StoppedError
from clip_mamba.training.running import Running
from tests.training_runs import OFTEN, train

RARELY = Running(checkpoint_seconds=None)


@pytest.mark.parametrize("name", ["ViT-Test", "VMamba-Test", "SiMBA-Test"])
def test_the_loss_goes_down(tmp_path, name):
    done = train(tmp_path, name, running=RARELY)
    assert done.steps == 36
    assert done.pairs == 36 * 16
    assert done.final_loss < done.history[0]["loss"] - 0.2
    assert not done.model.training
    assert list((tmp_path / "tensorboard").glob("events*"))


def record_numbers(monkeypatch, seen):
    original = ClipModule.training_step

    def step(self, batch, batch_idx):
        seen.append((self.global_step, tuple(batch.numbers.tolist())))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ClipModule, "training_step", step)


def _train_slowly(folder):
    original = ClipModule.training_step

    def slow(self, batch, batch_idx):
        time.sleep(0.05)
        return original(self, batch, batch_idx)

    ClipModule.training_step = slow
    train(folder)


def test_a_killed_run_resumes_bit_by_bit_and_sees_every_pair_once(tmp_path, monkeypatch):
    folder = tmp_path / "killed"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training_runs"])
    process = context.Process(target=_train_slowly, args=(folder,))
    process.start()
    deadline = time.monotonic() + 60
    while len(checkpoints.find(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    start = checkpoints._step(last_checkpoint(folder))
    assert 0 < start < 36

    seen, after = [], []
    record_numbers(monkeypatch, seen)
    whole = train(tmp_path / "whole", running=RARELY).model.state_dict()
    monkeypatch.undo()
    record_numbers(monkeypatch, after)
    resumed = train(folder).model.state_dict()
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0, msg=key)

    assert after == seen[start:]  # not one step twice, none left out
    for epoch in range(6):
        numbers = [n for step, pairs in seen if step // 6 == epoch for n in pairs]
        assert sorted(numbers) == list(range(96))


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, capsys):
    torch.save({"a": torch.ones(3)}, tmp_path / "step=9.ckpt")
    (tmp_path / "step=12.ckpt").write_bytes(b"not a checkpoint")
    assert last_checkpoint(tmp_path) == tmp_path / "step=9.ckpt"
    assert "step=12.ckpt is damaged" in capsys.readouterr().out


def test_without_checkpoints_a_run_starts_from_the_beginning(tmp_path):
    assert last_checkpoint(tmp_path) is None


def test_the_last_few_checkpoints_are_kept(tmp_path):
    train(tmp_path, running=replace(OFTEN, checkpoint_steps=5, keep_checkpoints=3), epochs=4)
    assert [p.name for p in checkpoints.find(tmp_path)] == [
        "step=20.ckpt",
        "step=15.ckpt",
        "step=10.ckpt",
    ]


def test_checkpoints_of_another_recipe_are_set_aside_not_continued(tmp_path, capsys):
    train(tmp_path, epochs=1)
    again = train(tmp_path, epochs=1, lr=1e-3)
    assert "(recipe changed)" in capsys.readouterr().out
    assert again.history[0]["step"] == 0
    (aside,) = tmp_path.glob("before-*")
    assert (aside / "step=6.ckpt").exists()


def test_checkpoints_without_an_identity_are_not_trusted(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "step=9.ckpt")
    assert last_checkpoint(tmp_path, {"seed": 0}) is None
    assert not checkpoints.find(tmp_path) and list(tmp_path.glob("before-*/step=9.ckpt"))


class NoSpace:
    """``torch.save`` on a disk that fills up at some checkpoint."""

    def __init__(self, whole):
        self.left, self.save = whole, torch.save

    def __call__(self, value, path):
        self.left -= 1
        if self.left >= 0:
            return self.save(value, path)
        path.write_bytes(b"PK half a checkpoint")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_the_run_and_spoils_no_checkpoint(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", running=RARELY, epochs=1).model.state_dict()
    monkeypatch.setattr(torch, "save", NoSpace(3))
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        train(tmp_path / "full", epochs=1)
    assert "\n" not in str(caught.value) and "step=4.ckpt" in str(caught.value)
    monkeypatch.undo()
    assert [p.name for p in checkpoints.find(tmp_path / "full")] == ["step=3.ckpt", "step=2.ckpt"]
    assert not list((tmp_path / "full").glob(".*"))
    resumed = train(tmp_path / "full", epochs=1).model.state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_checkpoint(tmp_path, monkeypatch):
    from open_clip.loss import ClipLoss

    original = ClipLoss.forward
    losses = iter([1.0, 1.0, 1.0, float("nan")])
    monkeypatch.setattr(
        ClipLoss, "forward", lambda self, *inputs: original(self, *inputs) * next(losses)
    )
    with pytest.raises(FloatingPointError, match=r"nan at step 3; last .*step=3\.ckpt"):
        train(tmp_path)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_at_the_end_of_the_step_and_stops(tmp_path, monkeypatch, name):
    whole = train(tmp_path / "whole", running=RARELY, epochs=1).model.state_dict()
    original = ClipModule.training_step

    def step(self, batch, batch_idx):
        if self.global_step == 2:
            os.kill(os.getpid(), name)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ClipModule, "training_step", step)
    before = signal.getsignal(name)
    with pytest.raises(StoppedError, match=f"stopped by {name.name} after step 3"):
        train(tmp_path / "cut", running=RARELY, epochs=1)
    assert signal.getsignal(name) == before
    monkeypatch.undo()
    assert [p.name for p in checkpoints.find(tmp_path / "cut")] == ["step=3.ckpt"]
    resumed = train(tmp_path / "cut", epochs=1).model.state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_slurm_is_asked_to_run_the_job_again(tmp_path, monkeypatch):
    from clip_mamba.training.preemption import requeue

    told = tmp_path / "told"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {told}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert requeue() == ""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert requeue() == " (job 17 is queued again)"
    assert told.read_text() == "requeue 17\n"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "15")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert requeue() == " (job 15_2 is queued again)"
    scontrol.write_text("#!/bin/sh\necho not allowed >&2\nexit 1\n")
    assert "not allowed" in requeue()


@pytest.mark.parametrize(
    ("state", "time", "expected"),
    [
        # In its grace time; not preempted; cancelled; in the queue again already.
        ("RUNNING", "2026-11-24T04:00:00", True),
        ("RUNNING", "None", False),
        ("CANCELLED", "2026-11-24T04:00:00", False),
        ("PENDING", "2026-11-24T04:00:00", False),
    ],
)
def test_a_preempted_job_is_told_from_a_cancelled_one(tmp_path, monkeypatch, state, time, expected):
    from clip_mamba.training.preemption import preempted

    scontrol = tmp_path / "scontrol"
    facts = f"JobId=17 JobState={state} PreemptEligibleTime=x PreemptTime={time} WorkDir=/a b"
    scontrol.write_text(f'#!/bin/sh\n[ "$4" = 17 ] && echo "{facts}"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not preempted()
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert preempted() == expected
    monkeypatch.setenv("PATH", "")
    assert not preempted()


def test_without_averaging_the_last_weights_are_kept(tmp_path):
    averaged = train(tmp_path / "a", running=RARELY, epochs=1).model.state_dict()
    online = train(tmp_path / "b", running=RARELY, epochs=1, ema=False).model.state_dict()
    assert not torch.equal(averaged["text_projection"], online["text_projection"])
    assert set(averaged) == set(online)


def test_wandb_that_is_not_installed_is_named_before_training(tmp_path):
    with pytest.raises(ValueError, match="needs the package wandb: pip install wandb"):
        train(tmp_path, running=Running(wandb="clip-mamba"))
