"""Settings and command lines agree with each other."""

import argparse
import os
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from clip_mamba.__main__ import main
from clip_mamba.cli.pretrain import add_pretrain_command
from clip_mamba.training.launch import command, launch, srun
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
    with pytest.raises(ValueError, match="devices=0: at least 1 is needed"):
        Running(devices=0)


JOB = ["pretrain", "--model", "ViT-Test", "--index", "i.json", "--weights", "w.safetensors"]


def test_none_is_spelt_as_the_help_spells_it(capsys):
    found = parse([*JOB, "--checkpoint-seconds", "none", "--checkpoint-steps", "none"])
    assert found.checkpoint_seconds is None and found.checkpoint_steps is None
    assert parse([*JOB, "--wandb", "None"]).wandb is None
    with pytest.raises(SystemExit):
        parse(["pretrain", "--help"])
    assert "none for no such rule" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("option", "value"),
    [("--devices", "0"), ("--threads", "-1"), ("--workers", "-1"), ("--checkpoint-steps", "soon")],
)
def test_a_wrong_option_is_named(capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        parse([*JOB, option, value])
    error = capsys.readouterr().err
    assert f"argument {option}: {value!r} is not a" in error


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--model", "ViT-Tset", "did you mean 'ViT-Test'?"),
        ("--recipe", "fare", "did you mean 'fair'?"),
        ("--recipe", "{folder}/odd.json", "unknown recipe setting 'epoch'. Did you mean 'epochs'?"),
        ("--recipe", "{folder}/none.json", "none.json"),
        ("--recipe", "{folder}/cut.json", "cut.json is not JSON"),
        ("--index", "nowhere.json", "nowhere.json is no file"),
        ("--config", "nowhere.yaml", "nowhere.yaml"),
        ("--checkpoint-seconds", "-1", "checkpoint_seconds=-1.0: at least 0 is needed"),
    ],
)
def test_what_was_written_wrong_ends_with_2(tmp_path, monkeypatch, capsys, option, value, said):
    monkeypatch.chdir(ROOT)
    (tmp_path / "odd.json").write_text('{"epoch": 3}')
    (tmp_path / "cut.json").write_text("{")
    options = {"--model": "ViT-Test", "--index": "README.md", "--weights": "w.safetensors"}
    options |= {option: value.format(folder=tmp_path)}
    assert main(["pretrain", *(word for pair in options.items() for word in pair)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


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


def test_a_job_that_is_preempted_before_it_trains_is_queued_again(tmp_path, monkeypatch, capsys):
    told = tmp_path / "told"
    scontrol = tmp_path / "scontrol"
    facts = "JobState=RUNNING PreemptTime=2026-11-24T04:00:00"
    scontrol.write_text(f'#!/bin/sh\n[ $1 = requeue ] && echo "$@" > {told} || echo {facts}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    names = ("model_name", "seed", "scale", "index", "weights", "result")
    job = {name: "x" for name in names} | {"folder": tmp_path, "settings": {}, "running": Running()}
    assert launch(job, ["sh", "-c", "exit 0"]) == 0
    assert not told.exists()
    assert launch(job, ["sh", "-c", "exit 143"]) == 143
    assert told.read_text() == "requeue 17\n"
    assert "before training began (job 17 is queued again)" in capsys.readouterr().out
