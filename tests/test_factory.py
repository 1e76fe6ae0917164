"""create_model, the registration, and the commands."""

import json
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

import clip_mamba
from clip_mamba import catalogue
from clip_mamba.__main__ import main
from clip_mamba.checkpoints import _shapes, load_weights, save_weights
from clip_mamba.registration import CONFIGS
from clip_mamba.tokenizer import FULL_VOCABULARY

DEMO = ["ViT-Nano", "ViT-Micro", "VMamba-Pico", "VMamba-Nano", "SiMBA-Nano"]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("name", DEMO)
def test_demo_models(name):
    model, preprocess, tokenizer = clip_mamba.create_model(name)
    image = preprocess(Image.new("RGBA", (50, 40), "red"))
    assert image.shape == (3, 32, 32)
    tokens = tokenizer(["a cat", "a dog"])
    assert tokens.shape == (2, 24)
    with torch.no_grad():
        features = model.encode_image(image[None], normalize=True), model.encode_text(tokens)
    assert features[0].shape == (1, 96)
    assert features[1].shape == (2, 96)
    assert not model.training


def test_preprocessing_is_centre_crop_with_imagenet_statistics():
    model, preprocess, _ = clip_mamba.create_model("ViT-Nano")
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 16:48] = 255  # the centre is white
    image = preprocess(Image.fromarray(pixels))
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(image.mean((1, 2)), expected)
    assert "bilinear" in str(preprocess).lower()
    # What training code takes for its own transforms must be the same numbers.
    assert model.visual.image_mean == (0.485, 0.456, 0.406)
    assert model.visual.image_std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("name", ["VMamba-Nano", "SiMBA-Nano", "ViT-Nano"])
def test_image_size(name):
    model, preprocess, _ = clip_mamba.create_model(name, image_size=48)
    image = preprocess(Image.new("RGB", (60, 60)))[None]
    assert image.shape[-2:] == (48, 48)
    assert model.encode_image(image).shape == (1, 96)


def test_open_clip_builds_our_models():
    model, _, _ = open_clip.create_model_and_transforms("VMamba-Test")
    assert type(model.visual.trunk).__name__ == "VMamba"
    for name in clip_mamba.list_models():
        assert name in open_clip.list_models()
        assert open_clip.get_model_config(name) == json.loads(
            (CONFIGS / f"{name}.json").read_text()
        )


def test_paper_scale_through_open_clip():
    model, _, preprocess = open_clip.create_model_and_transforms("VMamba-S")
    assert model.visual.trunk.num_features == 768
    assert model.visual.head.proj.weight.shape == (512, 768)
    assert preprocess(Image.new("RGB", (300, 200))).shape == (3, 224, 224)


def test_initial_projection_is_clips():
    model, _, _ = clip_mamba.create_model("ViT-Micro")
    assert model.visual.head.proj.weight.std().item() == pytest.approx(96**-0.5, rel=0.05)
    assert model.logit_scale.exp().item() == pytest.approx(1 / 0.07, rel=1e-5)


def test_unknown_name():
    with pytest.raises(ValueError, match="Did you mean 'VMamba-S'"):
        clip_mamba.create_model("vmamba-s")


def test_init_is_for_simba():
    model, _, _ = clip_mamba.create_model("SiMBA-Test", init="released")
    assert not model.visual.trunk.class_block.mixer.dt_proj.bias.any()
    with pytest.raises(ValueError, match="ViT-Test"):
        clip_mamba.create_model("ViT-Test", init="released")


def test_no_warning_about_random_weights(caplog):
    clip_mamba.create_model("ViT-Test")
    assert not caplog.records


def test_import_loads_nothing_heavy():
    code = "import sys, clip_mamba; clip_mamba.list_models(); print(*sys.modules)"
    loaded = set(python(code).stdout.split())
    assert loaded
    assert not loaded & {"torch", "timm", "open_clip", "numba", "pytorch_lightning"}


@pytest.mark.parametrize("first", ["clip_mamba", "open_clip", "timm"])
def test_registration_in_any_order(first):
    code = (
        f"import {first}, clip_mamba, timm, open_clip\n"
        "assert timm.is_model('simba_nano') and 'SiMBA-L' in open_clip.list_models()"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    model, _, _ = clip_mamba.create_model("ViT-Test")
    save_weights(tmp_path / "w.safetensors", model, {"model": "ViT-Test"})
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "blue.png")
    return tmp_path


def test_weights(trained):
    model, _, _ = clip_mamba.create_model("ViT-Test", weights=trained / "w.safetensors")
    state, metadata = load_weights(trained / "w.safetensors")
    assert metadata["model"] == "ViT-Test"
    torch.testing.assert_close(dict(model.state_dict()), state)
    # open_clip's own loader reads the same file.
    path = str(trained / "w.safetensors")
    theirs, _, _ = open_clip.create_model_and_transforms("ViT-Test", pretrained=path)
    torch.testing.assert_close(dict(theirs.state_dict()), state)


def test_weights_of_another_model(trained):
    with pytest.raises(ValueError, match=r"w\.safetensors.*missing: visual\.trunk"):
        clip_mamba.create_model("VMamba-Test", weights=trained / "w.safetensors")


def test_classify(trained, capsys):
    arguments = ["classify", f"{trained}/blue.png", "--weights", f"{trained}/w.safetensors"]
    assert main([*arguments, "--labels", "cat, dog,cat,tree"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert main([*arguments, "--labels", "cat,dog", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    probabilities = [label["probability"] for label in entry["labels"]]
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--labels": " , "}, "no label"),
        ({"--template": "a photo"}, "--template"),
        ({"--model": "ViT-Tset"}, "Did you mean 'ViT-Test'"),
        ({"--weights": "blue.png"}, "not a whole safetensors file"),
        ({"image": "nothing.png"}, "nothing.png"),
        ({"image": "w.safetensors"}, "not a picture"),
    ],
)
def test_classify_refuses_in_one_line(trained, capsys, monkeypatch, change, message):
    monkeypatch.chdir(trained)
    options = {"--weights": "w.safetensors", "--labels": "cat,dog"} | change
    image = options.pop("image", "blue.png")
    assert main(["classify", image, *(part for pair in options.items() for part in pair)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--top", "-3", "'-3' is not a whole number above 0"),
        ("--device", "cuda:77", "device 'cuda:77' cannot be used: "),
        ("--device", "gpu", "device 'gpu' cannot be used: "),
    ],
)
def test_classify_refuses_an_option_in_one_line(trained, capsys, option, value, said):
    arguments = ["classify", f"{trained}/blue.png", "--weights", f"{trained}/w.safetensors"]
    try:
        assert main([*arguments, "--labels", "cat", option, value]) == 2
    except SystemExit as stop:
        assert stop.code == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_open_clips_models_are_listed_too(capsys):
    assert main(["models", "ViT-S-32", "RN50", "EVA02-B-16", "--json"]) == 0
    vit, resnet, eva = sorted(
        json.loads(capsys.readouterr().out), key=lambda row: -ord(row["name"][0])
    )
    assert (vit["projection_parameters"], resnet["projection_parameters"]) == (None, None)
    assert resnet["image_parameters"] == 38_316_896 and resnet["text_parameters"] == 63_690_240
    assert eva["text_parameters"] > 60e6 and 15 < eva["gflops"] < 20
    assert main(["models", "ViT-S-32"]) == 0
    assert " - | " in capsys.readouterr().out
    assert main(["models", "ViT-S-3"]) == 2
    assert "did you mean 'ViT-S-32'?" in capsys.readouterr().err


def test_models_with_a_text_tower_apart_can_be_given_too():
    assert "text.token_embedding.weight" in _shapes("MobileCLIP-B")


def test_every_model_of_the_catalogue_has_a_size_and_a_text_for_the_tokenizer():
    assert catalogue._VOCABULARY == FULL_VOCABULARY
    for name in catalogue.config_files():
        config = catalogue.read_config(name)
        assert config["vision_cfg"]["image_size"] >= 16, name
    assert "coca_ViT-B-32" not in catalogue.config_files()
    assert "roberta-ViT-B-32" not in catalogue.config_files()
    assert "ViT-B-16-SigLIP" not in catalogue.config_files()


def test_models_command(capsys):
    assert main(["models", "ViT-Nano", "VMamba-Nano"]) == 0
    table = capsys.readouterr().out
    assert "207,424" in table
    assert main(["models", "ViT-Nano", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["text_parameters"] == 628_608
