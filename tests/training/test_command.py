"""The command line, for real: two processes that start each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

from clip_mamba.checkpoints import read_metadata
from clip_mamba.results import Result
from tests.data.test_pairs import shards, spoil

ROOT = Path(__file__).parents[2]


def pretrain(folder, *words):
    command = [sys.executable, "-m", "clip_mamba", "pretrain", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment = {k: v for k, v in environment.items() if not k.startswith(("SLURM_", "RANK"))}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_two_processes_train_on_a_users_own_shards(tmp_path):
    index = shards(tmp_path, sizes=(12, 13))
    spoil(index, 4)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"batch_size": 8, "epochs": 2, "precision": "32-true"}))
    weights = tmp_path / "out.safetensors"
    done = pretrain(
        tmp_path, "--model", "ViT-Test", "--index", index, "--recipe", recipe,
        "--weights", weights, "--devices", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "unreadable picture" in done.stdout and "the next pair stands in" in done.stdout
    result = Result.read(tmp_path / "out.json")
    assert (result.details["steps"], result.details["processes"]) == (6, 2)
    assert result.details["unreadable_visits"] in {1, 2}
    assert read_metadata(weights)["weights"] == "ema"
    assert not list((tmp_path / "out").glob("step=*"))  # a finished run is not continued


def test_bad_input_is_one_line(tmp_path):
    done = pretrain(
        tmp_path, "--model", "ViT-Test", "--index", tmp_path / "index.json", "--weights",
        tmp_path / "w.safetensors", "--recipe", "fare",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no recipe 'fare'" in done.stderr
