"""The same global batch gives the same run, however it is divided."""

import os
import signal

import pytest
import torch

from clip_mamba.training.module import ClipModule
from tests.training_runs import start, train, train_in

# A large epsilon keeps AdamW from blowing the rounding of vanishing gradients up to whole steps.
SHORT = {"epochs": 1, "ema_start": 0.5, "drop_path": 0.3, "eps": 1e-3}


def first_losses(done, steps=6):
    return torch.tensor([point["loss"] for point in done.history[:steps]])


@pytest.mark.parametrize(("name", "worlds"), [("VMamba-Test", (2, 4)), ("SiMBA-Test", (2,))])
def test_loss_and_weights_do_not_depend_on_the_number_of_processes(tmp_path, name, worlds):
    alone = train(tmp_path / "1", name, **SHORT)
    for world in worlds:
        shared = train_in(world, tmp_path / str(world), name=name, **SHORT)
        losses = torch.tensor(shared["losses"])
        torch.testing.assert_close(losses, first_losses(alone), atol=1e-5, rtol=0)
        for key, value in alone.model.state_dict().items():
            torch.testing.assert_close(
                shared["weights"][key],
                value,
                atol=1e-5,
                rtol=1e-4,
                msg=lambda m, k=key: f"{k}: {m}",
            )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_accumulation_gives_the_loss_and_gradients_of_the_whole_batch(tmp_path, checkpointing):
    settings = {**SHORT, "grad_checkpointing": checkpointing}
    whole = train(tmp_path / "1", **settings)
    pieces = train(tmp_path / "4", accumulation=4, **settings)
    torch.testing.assert_close(first_losses(pieces), first_losses(whole), atol=1e-5, rtol=0)
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(pieces.model.state_dict()[key], value, atol=1e-5, rtol=1e-4)


def test_accumulation_counts_batch_norms_statistics_once(tmp_path):
    model = train(tmp_path, "SiMBA-Test", accumulation=2, **SHORT).model
    counts = [b for n, b in model.named_buffers() if n.endswith("num_batches_tracked")]
    assert counts and all(int(count) == 12 for count in counts)  # 6 steps of 2 micro-batches


def test_accumulation_together_with_two_processes(tmp_path):
    alone = train(tmp_path / "1", **SHORT)
    shared = train_in(2, tmp_path / "2", accumulation=2, **SHORT)
    losses = torch.tensor(shared["losses"])
    torch.testing.assert_close(losses, first_losses(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("world", "changes", "said"),
    [(1, {"accumulation": 3}, "cannot be divided into accumulation=3")],
)
def test_an_uneven_division_is_refused(tmp_path, world, changes, said):
    del world
    with pytest.raises(ValueError, match=said):
        train(tmp_path, **changes)


def _die_at_step_four(rank):
    if rank == 1:
        original = ClipModule.training_step

        def step(self, batch, batch_idx):
            if self.global_step == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, batch, batch_idx)

        ClipModule.training_step = step


def test_a_run_that_loses_a_process_ends_and_resumes_to_the_same_weights(tmp_path):
    whole = train_in(2, tmp_path / "whole", **SHORT)
    ranks = start(2, tmp_path / "cut", setup=_die_at_step_four, **SHORT)
    for process in ranks:
        process.join(60)  # the other process must not wait for ever
    assert ranks[1].exitcode == -signal.SIGKILL
    assert ranks[0].exitcode not in {0, None}
    assert sorted(p.name for p in (tmp_path / "cut").glob("*.ckpt")) == [
        "step=3.ckpt",
        "step=4.ckpt",
    ]
    assert not list((tmp_path / "cut").glob(".*"))  # no half-written file
    resumed = train_in(2, tmp_path / "cut", **SHORT)
    for key, value in whole["weights"].items():
        torch.testing.assert_close(resumed["weights"][key], value, atol=1e-6, rtol=1e-5)


def test_a_run_may_go_on_with_another_number_of_processes(tmp_path):
    whole = train(tmp_path / "whole", **SHORT)
    ranks = start(2, tmp_path / "cut", setup=_die_at_step_four, **SHORT)
    for process in ranks:
        process.join(60)
    resumed = train(tmp_path / "cut", **SHORT)
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[key], value, atol=1e-5, rtol=1e-4)
