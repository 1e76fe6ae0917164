"""Settings and command lines agree with each other."""

import argparse
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from clip_mamba.cli.pretrain import add_pretrain_command
from clip_mamba.training.launch import command, srun
from clip_mamba.training.running import Running
from clip_mamba.training.section import complete, resolve

ROOT = Path(__file__).parents[2]


def parse(words):
    parser = argparse.ArgumentParser()
    add_pretrain_command(parser.add_subparsers())
    return parser.parse_args(words)


def test_configuration_schema_and_library_name_the_same_settings():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    names = {f.name for f in fields(Running)}
    assert set(schema["$defs"]["training"]["properties"]) == names
    for study in yaml.safe_load((ROOT / "config.yaml").read_text())["scales"].values():
        assert Running.from_config(study["training"]).devices == study["training"]["devices"]


@pytest.mark.parametrize(
    "running",
    [
        Running(),
        Running(nodes=2, devices=8, workers=4, checkpoint_seconds=None, checkpoint_steps=50),
        Running(validation_steps=3, validation_tasks=("a", "b"), wandb="study"),
    ],
)
def test_a_job_survives_its_command_line(running):
    job = {"model_name": "ViT-Test", "seed": 3, "scale": "own", "index": "index.json"}
    job |= {"folder": "runs", "weights": "w.safetensors", "result": "r.json", "running": running}
    words = command(job, Path("recipe.json"))
    assert words[1:4] == ["-m", "clip_mamba", "pretrain"]
    found = parse(words[3:])
    assert (found.model, found.seed, str(found.index)) == ("ViT-Test", 3, "index.json")
    values = {f.name: getattr(found, f.name) for f in fields(Running)}
    values["validation_tasks"] = tuple(values["validation_tasks"])
    assert Running(**values) == running


def test_srun_gets_one_task_per_process():
    words = srun(2, 16, 12)
    assert words[0] == "srun" and "--ntasks-per-node=8" in words and "--kill-on-bad-exit=1" in words


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="deviecs"):
        Running.from_config({"deviecs": 2})
    with pytest.raises(ValueError, match="keep_checkpoints=0"):
        Running.from_config({"keep_checkpoints": 0})


def test_a_recipe_may_differ_for_some_models():
    settings = {"lr": 1, "augmentation": {"min_scale": 0.6, "blur_probability": 0.1}}
    recipes = {
        "plain": {"settings": settings, "reasons": {"lr": "tried"}},
        "other": {
            "like": "plain",
            "settings": {"lr": 2},
            "reasons": {},
            "models": {"ViT": {"ema": False, "augmentation": {"blur_probability": 0}}},
        },
    }
    assert resolve(complete(recipes, "plain"), "ViT") == settings
    section = complete(recipes, "other")
    assert section["reasons"] == {"lr": "tried"}
    assert resolve(section, "VMamba") == {**settings, "lr": 2}
    assert resolve(section, "ViT") == {
        "lr": 2,
        "ema": False,
        "augmentation": {"min_scale": 0.6, "blur_probability": 0},
    }
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())["recipes"]
    assert not complete(shipped, "fair")["models"]
    for name, model in (("as-published", "ViT-B-16"), ("demo-as-published", "ViT-Nano")):
        assert resolve(complete(shipped, name), model)["ema"] is False
    assert resolve(complete(shipped, "demo-as-published"), "VMamba-Nano") == (
        resolve(complete(shipped, "demo"), "VMamba-Nano")
    )
