import json

import pytest
import torch
from open_clip.model import CLIP
from torch.autograd.graph import saved_tensors_hooks

from clip_mamba.__main__ import main
from clip_mamba.factory import get_config
from clip_mamba.footprint import footprint
from clip_mamba.models.summary import summarise
from clip_mamba.plan import BYTES_PER_PARAMETER, GPUS, OVERHEAD, Setting, plan


def kept_for_the_backward_pass(name: str, batch: int) -> int:
    """Bytes that autograd really keeps on this CPU under bfloat16 autocast."""
    model = CLIP(**get_config(name)).train()
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    size = model.visual.image_size
    size = size if isinstance(size, tuple) else (size, size)
    images = torch.rand(batch, 3, *size)
    tokens = torch.zeros(batch, get_config(name)["text_cfg"]["context_length"], dtype=torch.long)
    with saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        features = model.encode_image(images), model.encode_text(tokens)
    assert len(features) == 2
    return sum(storage.nbytes() for storage in seen.values())


@pytest.mark.parametrize("name", ["ViT-Nano", "VMamba-Nano", "SiMBA-Nano"])
def test_activations_are_near_those_that_autograd_keeps(name):
    estimate = footprint(name)
    # The difference of two batches is free of weights and of autocast's copies of them.
    one, three = (kept_for_the_backward_pass(name, batch) for batch in (1, 3))
    assert estimate.activations == pytest.approx((three - one) / 2, rel=0.25)
    assert estimate.checkpointed < 0.7 * estimate.activations


@pytest.mark.parametrize(("name", "gmacs"), [("VMamba-T220", 5.05), ("ViT-B-16", 17.6)])
def test_both_towers_count(name, gmacs):
    cost = footprint(name)
    # Text tower by hand: 12 layers of 12 x 512 squared weights and 2 x 77 x 512 for attention.
    text = 12 * (12 * 512**2 + 2 * 77 * 512) * 77
    assert cost.macs == pytest.approx(gmacs * 1e9 + text, rel=0.01)
    row = summarise(name)
    trained = row.image_parameters + row.projection_parameters + row.text_parameters
    assert cost.parameters == trained + 1  # the logit scale


def test_the_numbers_follow_the_stated_formulas():
    setting = Setting(gpus=8, gpu="h100", batch=1024, epochs=2, pairs=100_000, mfu=0.25)
    row, cost = plan("VMamba-Nano", setting), footprint("VMamba-Nano")
    assert row.steps == 97 * 2 and row.samples == 194 * 1024 and row.pairs_per_gpu == 128
    once = 2 * (cost.macs + 2 * cost.width * 1024)
    assert row.exaflops * 1e18 == pytest.approx(row.samples * once * 4)
    seconds = row.exaflops * 1e18 / (8 * 989e12 * 0.25)
    assert row.hours == pytest.approx(seconds / 3600)
    assert row.gpu_hours == pytest.approx(8 * row.hours)
    assert row.pairs_per_second == pytest.approx(row.samples / seconds)
    fixed = cost.parameters * BYTES_PER_PARAMETER + 24 * 128 * 1024
    assert row.memory_gb == pytest.approx((fixed + 128 * cost.activations) / 1e9 + OVERHEAD)
    # Without checkpointing nothing is computed twice.
    kept = plan("VMamba-Nano", Setting(**{**vars(setting), "checkpointing": False}))
    assert kept.exaflops == pytest.approx(0.75 * row.exaflops)


def test_more_gpus_take_less_time_and_memory():
    few, many = (plan("VMamba-Nano", Setting(gpus=n, pairs=10_000)) for n in (8, 16))
    assert many.hours == pytest.approx(few.hours / 2)
    assert many.memory_gb < few.memory_gb and many.steps == few.steps


def test_what_does_not_fit_is_said():
    assert plan("VMamba-Nano", Setting()).fits == "yes"
    assert plan("ViT-B-16", Setting(gpus=4, gpu="a100-40gb")).fits == "with checkpointing"
    assert plan("ViT-B-16", Setting(gpus=1, gpu="a100-40gb")).fits.startswith("no: ")


def test_the_command_prints_a_table_and_its_assumptions(capsys):
    assert main(["plan", "--model", "VMamba-Nano", "--gpus", "4", "--pairs", "1e6"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("| model ") and "VMamba-Nano" in shown
    assert "Expected, not measured" in shown and "4 x a100" in shown and "1,000,000 pairs" in shown


def test_the_command_prints_json(capsys):
    arguments = ["--batch", "64", "--epochs", "1", "--pairs", "6400", "--mfu", "0.1", "--json"]
    assert main(["plan", "--model", "ViT-Nano", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["setting"]["mfu"] == 0.1 and facts["plans"][0]["steps"] == 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "VMamba-XS"], "unknown model 'VMamba-XS'; did you mean 'VMamba-S'? known: "),
        (["--gpu", "b100"], "unknown GPU 'b100'; known: " + ", ".join(GPUS)),
        (["--gpus", "3"], "4096 pairs cannot be shared evenly by 3 GPUs"),
        (["--pairs", "100"], "100 pairs are fewer than one batch"),
        (["--mfu", "1.5"], "--mfu must be above 0 and at most 1"),
    ],
)
def test_a_wrong_argument_is_one_line(capsys, arguments, said):
    chosen = [] if "--model" in arguments else ["--model", "ViT-Nano"]
    assert main(["plan", *chosen, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "0"], "argument --gpus: '0' is not a whole number above 0"),
        (["--pairs", "many"], "argument --pairs: 'many' is not a whole number above 0"),
        (["--epochs", "-1"], "argument --epochs: '-1' is not a number above 0"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        main(["plan", "--model", "ViT-Nano", *arguments])
    assert said in capsys.readouterr().err


def test_a_command_is_given_its_nearest_spelling(capsys):
    assert main(["plam"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'plam'; did you mean 'plan'?")


def test_models_of_open_clip_are_planned():
    own, text = plan("convnext_base", Setting()), plan("MobileCLIP-S1", Setting())
    assert own.parameters > 100e6 and text.parameters > 50e6
