import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from clip_mamba import create_model
from clip_mamba.data.loader import CachedPairs
from clip_mamba.pretrain import ClipModule, last_checkpoint, pretrain
from clip_mamba.recipe import Recipe
from clip_mamba.seeding import generator

RECIPE = Recipe(
    batch_size=16,
    epochs=6,
    warmup_epochs=1,
    lr=2e-3,
    weight_decay=0.1,
    ema_start=0.9,
    grad_checkpointing=False,
    precision="32-true",
)


def corpus(n=96):
    """Plain colours named by their captions: enough to see a loss go down."""
    rng = generator(0, "test corpus")
    colours = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
    names = [list(colours)[i % 3] for i in range(n)]
    images = np.stack([np.full((20, 20, 3), colours[name]) for name in names])
    noisy = np.clip(images + rng.normal(0, 15, images.shape), 0, 255)
    return noisy.astype(np.uint8), [[f"a {name} square", name] for name in names]


def train(folder, name="VMamba-Test", recipe=RECIPE, checkpoint_seconds=0.0):
    torch.manual_seed(0)
    model, _, tokenizer = create_model(name)
    images, captions = corpus()
    return pretrain(
        model,
        tokenizer,
        images,
        captions,
        recipe,
        image_size=16,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        seed=0,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
    )


@pytest.mark.parametrize("name", ["ViT-Test", "VMamba-Test", "SiMBA-Test"])
def test_the_loss_goes_down(tmp_path, name):
    done = train(tmp_path, name)
    assert done.steps == 36
    assert done.pairs == 36 * 16
    assert done.final_loss < done.history[0]["loss"] - 0.2
    assert not done.model.training
    assert list((tmp_path / "tensorboard").glob("events*"))


def _train_slowly(folder):
    original = ClipModule.training_step

    def slow(self, batch, batch_idx):
        time.sleep(0.1)
        return original(self, batch, batch_idx)

    ClipModule.training_step = slow
    train(folder)


def test_a_killed_run_resumes_and_ends_with_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole").model.state_dict()
    folder = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(target=_train_slowly, args=(folder,))
    process.start()
    deadline = time.monotonic() + 60
    while len(list(folder.glob("step=*.ckpt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert last_checkpoint(folder) is not None
    resumed = train(folder).model.state_dict()
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0, msg=key)


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, capsys):
    torch.save({"a": torch.ones(3)}, tmp_path / "step=9.ckpt")
    (tmp_path / "step=12.ckpt").write_bytes(b"not a checkpoint")
    assert last_checkpoint(tmp_path) == tmp_path / "step=9.ckpt"
    assert "step=12.ckpt is damaged" in capsys.readouterr().out


def test_without_checkpoints_a_run_starts_from_the_beginning(tmp_path):
    assert last_checkpoint(tmp_path) is None


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "open_clip.loss.ClipLoss.forward", lambda *args, **kwargs: torch.tensor(float("nan"))
    )
    with pytest.raises(FloatingPointError, match="nan at step 0; last good checkpoint: none yet"):
        train(tmp_path)


def loader(**changes):
    images, captions = corpus()
    _, _, tokenizer = create_model("ViT-Test")
    settings = {"batch_size": 32, "epochs": 2, "seed": 0, **changes}
    transform = RECIPE.augmentation.transform(16)
    return CachedPairs(images, captions, tokenizer, transform, **settings)


def test_a_batch_depends_on_the_step_alone():
    one, other = loader(), loader()
    list(zip(range(3), one, strict=False))
    for left, right in zip(one.batch(4), other.batch(4), strict=True):
        assert torch.equal(left, right)
    assert not torch.equal(one.batch(4)[0], one.batch(5)[0])


def test_an_epoch_visits_every_pair_once():
    pairs = loader()
    first = [pairs._order(0)[i * 32 : (i + 1) * 32] for i in range(3)]
    assert sorted(np.concatenate(first)) == list(range(96))
    assert list(pairs._order(0)) != list(pairs._order(1))


def test_iteration_continues_from_a_restored_position():
    pairs = loader()
    assert len(pairs) == 6
    pairs.load_state_dict({"position": 4})
    rest = list(pairs)
    assert len(rest) == 2
    assert torch.equal(rest[0][0], pairs.batch(4)[0])


def test_a_corpus_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="lower the recipe's batch_size"):
        loader(batch_size=200)
