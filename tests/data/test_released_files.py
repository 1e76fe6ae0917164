import json

import pytest
import torch

from clip_mamba import create_model
from clip_mamba.checkpoints import convert, load_weights, save_weights
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.released_files import fetch_released, find_file, read_released
from tests.http_server import serve

FILES = [
    "README.md",
    "VMamba_B/checkpoint_best.pt",
    "VMamba_S/checkpoint_best.pt",
    "VMamba_T220.pt",
    "Simba_L.pth",
    "simba-b.pt",
    "simba_small.pt",
]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("VMamba-T220", "VMamba_T220.pt"),
        ("VMamba-S", "VMamba_S/checkpoint_best.pt"),
        ("VMamba-B", "VMamba_B/checkpoint_best.pt"),
        ("SiMBA-L", "Simba_L.pth"),
        ("SiMBA-B", "simba-b.pt"),
        ("SiMBA-S", "simba_small.pt"),
    ],
)
def test_the_file_is_found_by_the_models_name(model, path):
    assert find_file(read_released()[model], FILES) == path


@pytest.mark.parametrize("files", [["a.pt"], ["VMamba_S/1.pt", "VMamba_S/2.pt"], []])
def test_an_ambiguous_listing_is_shown_with_the_remedy(files):
    with pytest.raises(FetchError, match="config.yaml: weights") as caught:
        find_file(read_released()["VMamba-S"], files)
    assert all(file in str(caught.value) for file in files)


def test_a_released_file_is_fetched_from_the_hub(tmp_path, monkeypatch):
    served = tmp_path / "served"
    folder = served / "weiquan/mamba-clip/resolve/main/VMamba_S"
    folder.mkdir(parents=True)
    (folder / "checkpoint_best.pt").write_bytes(b"weights")
    (served / "api/models/weiquan").mkdir(parents=True)
    listing = {"siblings": [{"rfilename": name} for name in FILES]}
    (served / "api/models/weiquan/mamba-clip").write_text(json.dumps(listing))
    monkeypatch.setenv("CLIP_MAMBA_CHECKSUMS", str(tmp_path / "checksums.tsv"))
    with serve(served) as server:
        monkeypatch.setenv("CLIP_MAMBA_MIRRORS", json.dumps({"https://huggingface.co": server.url}))
        got = fetch_released("VMamba-S", tmp_path / "VMamba-S.pt")
        with pytest.raises(FetchError, match="SiMBA-L.pth|Simba_L.pth|404"):
            fetch_released("SiMBA-L", tmp_path / "SiMBA-L.pt")
    assert got.read_bytes() == b"weights"


def test_a_model_that_was_not_released_is_refused(tmp_path):
    with pytest.raises(FetchError, match="no weights of 'ViT-L-16' were released.*VMamba-T220"):
        fetch_released("ViT-L-16", tmp_path / "x.pt")


def test_a_users_own_weights_are_checked_against_the_model(tmp_path):
    model, _, _ = create_model("VMamba-Test")
    save_weights(tmp_path / "own.safetensors", model, {"model": "VMamba-Test"})
    convert(tmp_path / "own.safetensors", tmp_path / "given.safetensors", "VMamba-Test")
    state, metadata = load_weights(tmp_path / "given.safetensors")
    assert metadata["source"] == "own.safetensors"
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())
    with pytest.raises(ValueError, match="does not fit the model"):
        convert(tmp_path / "own.safetensors", tmp_path / "x.safetensors", "SiMBA-Test")
