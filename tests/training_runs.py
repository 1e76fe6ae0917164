"""Tiny pretraining runs, in this process or in several."""

import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clip_mamba import create_model
from clip_mamba.data.cached import CachedSource
from clip_mamba.pretrain import pretrain
from clip_mamba.recipe import Recipe
from clip_mamba.seeding import generator
from clip_mamba.training.running import Running

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
OFTEN = Running(checkpoint_seconds=None, checkpoint_steps=1)


def corpus(n=96):
    """Plain colours named by their captions: enough to see a loss go down."""
    rng = generator(0, "test corpus")
    colours = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
    names = [list(colours)[i % 3] for i in range(n)]
    images = np.stack([np.full((20, 20, 3), colours[name]) for name in names])
    noisy = np.clip(images + rng.normal(0, 15, images.shape), 0, 255)
    return noisy.astype(np.uint8), [[f"a {name} square", name] for name in names]


def train(folder, name="VMamba-Test", recipe=RECIPE, running=OFTEN, extra=(), **changes):
    """Pretrain a tiny model on the plain colours."""
    torch.manual_seed(0)
    model, _, tokenizer = create_model(name)
    images, captions = corpus()
    recipe = replace(recipe, **changes)
    source = CachedSource(images, captions, tokenizer, recipe.augmentation, 16)
    return pretrain(
        model,
        source,
        recipe,
        image_size=16,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        seed=0,
        folder=folder,
        running=running,
        extra=extra,
    )


def _rank(rank, world, port, folder, arguments, setup):
    """One process of a run, as torchrun would have started it."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    Path(folder).mkdir(parents=True, exist_ok=True)
    if setup is not None:
        setup(rank)
    done = train(folder, **arguments)
    if rank == 0:
        losses = [point["loss"] for point in done.history]
        torch.save({"losses": losses, "weights": done.model.state_dict()}, f"{folder}/done.pt")


def start(world, folder, setup=None, **arguments):
    """Start the processes of a run; a fork server that has imported everything makes it quick."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training_runs"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        context.Process(target=_rank, args=(r, world, port, str(folder), arguments, setup))
        for r in range(world)
    ]
    for process in ranks:
        process.start()
    return ranks


def train_in(world, folder, **arguments):
    """Train in several processes and return the losses and weights."""
    ranks = start(world, folder, **arguments)
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0] * world
    return torch.load(Path(folder) / "done.pt", weights_only=True)
