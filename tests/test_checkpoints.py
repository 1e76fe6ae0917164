"""The released layout: reading, strictness, safety; our own files."""

import argparse
import json
import os
import pickle

import pytest
import torch
from released_layout import key_list

import clip_mamba
from clip_mamba import checkpoints
from clip_mamba.checkpoints import convert_released, load_released, load_weights, save_weights
from clip_mamba.released import translate

RELEASED = {
    "VMamba_T220": "VMamba-T220",
    "VMamba_S": "VMamba-S",
    "VMamba_B": "VMamba-B",
    "Simba_S": "SiMBA-S",
    "Simba_B": "SiMBA-B",
    "Simba_L": "SiMBA-L",
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def to_released(name, family, stages):
    """Return the released name of one of our tensors, found by trying every candidate."""
    candidates = [name, "image_projection"] + [
        f"visual.{p}" for p in _released_names(name.removeprefix("visual.trunk."), stages)
    ]
    (found,) = {c for c in candidates if translate(c, family, stages) == name}
    return found


def _released_names(ours, stages):
    """List how our trunk name may have been called: undo each renaming in every combination."""
    head, *rest = ours.split(".")
    if head == "patch_embed":
        index = {"conv1": 0, "norm1": 2, "conv2": 5, "norm2": 7}[rest[0]]
        return [f"patch_embed.{index}.{rest[1]}"]
    if head == "norm":
        return [f"classifier.norm.{rest[0]}", f"norm{stages}.{rest[0]}", ours]
    if head == "class_block":
        tail = ".".join(rest).replace("norm1", "attn.norm").replace("mixer", "attn.mamba")
        return [f"post_network.0.{tail}"]
    if head != "stages":
        return [ours]
    i, part, tail = int(rest[0]), rest[1], ".".join(rest[2:])
    if part == "blocks":
        j, tail = tail.split(".", 1)
        simba = tail.replace("norm1", "attn.norm").replace("mixer", "attn.mamba")
        simba = simba.replace("dwconv", "dwconv.dwconv")
        vmamba = tail.replace("norm1", "norm").replace("mixer", "op")
        return [f"block{i + 1}.{j}.{simba}", f"layers.{i}.blocks.{j}.{vmamba}"]
    if part == "norm":
        return [f"norm{i + 1}.{tail}"]
    old = tail.replace("down.", "").replace("conv.", "proj.", 1)
    step = tail.replace("conv.", "1.").replace("norm.", "3.")
    return [f"patch_embed{i + 1}.{t}" for t in (old, tail)] + [f"layers.{i - 1}.downsample.{step}"]


def synthetic(name, prefix="module."):
    """Return our model and its checkpoint as the released training code would write it."""
    torch.manual_seed(0)
    model, _, _ = clip_mamba.create_model(name)
    family = name.split("-")[0].lower()
    online, ema = {}, {}
    for key, tensor in model.state_dict().items():
        old = to_released(key, family, 2)
        tensor = tensor.t().clone() if old == "image_projection" else tensor.clone()
        if tensor.is_floating_point():
            tensor += torch.rand_like(tensor)
        online[prefix + old] = tensor
        if old != "logit_scale":
            top, dot, rest = old.partition(".")
            fresh = {"running_mean": torch.zeros_like, "running_var": torch.ones_like}
            make = fresh.get(old.rsplit(".", 1)[-1], lambda t: t / 2)
            if old.endswith("num_batches_tracked"):
                make = torch.zeros_like
            ema[f"{prefix}{top}_e{dot}{rest}"] = make(tensor)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    return model, {
        "epoch": 25,
        "state_dict": online | ema,
        "optimizer": optimizer.state_dict(),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "best_acc1": 35.3,
        "args": argparse.Namespace(model=f"CLIP_{name}", lr=5e-4, betas=(0.9, 0.98), resume=""),
    }


@pytest.fixture(params=["VMamba-Test", "SiMBA-Test"])
def released(request, tmp_path):
    model, checkpoint = synthetic(request.param)
    path = tmp_path / "checkpoint_best.pt"
    torch.save(checkpoint, path)
    return request.param, model, checkpoint, path


@pytest.mark.parametrize("released_name", RELEASED)
def test_every_released_name_has_its_place(released_name):
    ours = RELEASED[released_name]
    keys = key_list(released_name)
    found = {}
    for key, shape in keys.items():
        name = translate(key, ours.split("-")[0].lower())
        assert name is not None, key
        assert name not in found
        found[name] = shape[::-1] if key == "image_projection" else shape
    assert found == checkpoints._shapes(ours)


@pytest.mark.parametrize("which", ["online", "ema"])
def test_round_trip(released, which):
    name, model, checkpoint, path = released
    state = load_released(path, which)
    model.load_state_dict(state)  # strict
    raw = checkpoint["state_dict"]
    suffix = "_e" if which == "ema" else ""
    assert state["logit_scale"] == raw["module.logit_scale"]
    projection = raw[f"module.image_projection{suffix}"]
    torch.testing.assert_close(state["visual.head.proj.weight"], projection.t())
    token = raw[f"module.token_embedding{suffix}.weight"]
    torch.testing.assert_close(state["token_embedding.weight"], token)
    assert checkpoints._recognise(state, name.split("-")[0].lower()) == name


def test_batch_norm_of_the_averaged_copy(tmp_path):
    """The averaged copy never updated its buffers; the online ones can be had instead."""
    _, checkpoint = synthetic("SiMBA-Test")
    path = tmp_path / "c.pt"
    torch.save(checkpoint, path)
    as_released = load_released(path)
    repaired = load_released(path, batch_norm="online")
    buffers = [key for key in as_released if key.endswith(BUFFERS)]
    assert len(buffers) == 9
    for key in as_released:
        if key.endswith("running_mean"):
            assert not as_released[key].any()
            assert repaired[key].any()
        elif key.endswith("running_var"):
            assert (as_released[key] == 1).all()
        elif key not in buffers:
            torch.testing.assert_close(as_released[key], repaired[key])


def test_convert(released, tmp_path):
    name, _, _, path = released
    target = tmp_path / "out.safetensors"
    assert convert_released(path, target) == name
    _, metadata = load_weights(target)
    assert metadata["model"] == name
    assert metadata["copy"] == "ema"
    assert metadata["epoch"] == "25"
    assert len(metadata["source_sha256"]) == 64
    model, preprocess, _ = clip_mamba.create_model(name, weights=target)
    assert model.encode_image(torch.zeros(1, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize("which", ["online", "ema"])
def test_strict(released, which):
    _, _, checkpoint, path = released
    state = checkpoint["state_dict"]
    suffix = "_e" if which == "ema" else ""
    key = f"module.ln_final{suffix}.weight"
    cases = {
        r"missing: ln_final\.weight": {k: v for k, v in state.items() if k != key},
        "known meaning: visual.gizmo.weight": state | {"module.visual.gizmo.weight": torch.ones(1)},
        "known meaning: gizmo_e": state | {"module.gizmo_e": torch.ones(1)},
        rf"wrong shape: .*ln_final{suffix}.weight.*\(7,\)": state | {key: torch.ones(7)},
    }
    if which == "ema":
        cases["no averaged copy"] = {
            k: v for k, v in state.items() if "_e." not in k and not k.endswith("_e")
        }
    for message, broken in cases.items():
        torch.save(checkpoint | {"state_dict": broken}, path)
        with pytest.raises(ValueError, match=message) as caught:
            load_released(path, which)
        assert str(path) in str(caught.value)


def test_missing_trunk_tensor_is_named(released):
    _, _, checkpoint, path = released
    key = next(k for k in checkpoint["state_dict"] if k.endswith("norm2.weight"))
    state = {k: v for k, v in checkpoint["state_dict"].items() if k != key}
    torch.save(checkpoint | {"state_dict": state}, path)
    with pytest.raises(ValueError, match=r"missing: visual\.trunk\..*norm2\.weight"):
        load_released(path, "online")


class Payload:
    """Unpickling this would run a command."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["top", "in args", "in state_dict"])
def test_malicious_pickle_runs_nothing(tmp_path, legacy, place):
    target, path = tmp_path / "owned", tmp_path / "evil.pt"
    evil = Payload(target)
    checkpoint = {
        "top": evil,
        "in args": {"state_dict": {}, "args": argparse.Namespace(model=evil)},
        "in state_dict": {"state_dict": {"module.logit_scale": evil}},
    }[place]
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="nothing in it was run.*system"):
        load_released(path)
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_malicious_bare_pickle_runs_nothing(tmp_path):
    target, path = tmp_path / "owned", tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(ValueError, match="evil.pt"):
        load_released(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a checkpoint at all"])
def test_damaged_file(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.pt"):
        load_released(path)


def test_other_content(tmp_path):
    path = tmp_path / "other.pt"
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="no state_dict"):
        load_released(path)
    torch.save({"state_dict": {"conv1.weight": torch.ones(1)}}, path)
    with pytest.raises(ValueError, match="none of the known image towers"):
        load_released(path)
    with pytest.raises(ValueError, match="which='average'"):
        load_released(path, "average")


def test_baseline_checkpoint(tmp_path):
    """The public ViT baselines have timm's names, no averaged copy, and the same text tower."""
    model, _, _ = clip_mamba.create_model("ViT-Test")
    state = {k.replace("visual.trunk.", "visual."): v for k, v in model.state_dict().items()}
    state["image_projection"] = state.pop("visual.head.proj.weight").t()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "b.pt")
    found = load_released(tmp_path / "b.pt", "online")
    torch.testing.assert_close(found, dict(model.state_dict()))


def test_own_files(tmp_path):
    model, _, _ = clip_mamba.create_model("SiMBA-Test")
    path = tmp_path / "deep" / "w.safetensors"
    save_weights(path, model, {"model": "SiMBA-Test", "versions": json.dumps({"torch": "2"})})
    state, metadata = load_weights(path)
    torch.testing.assert_close(state, dict(model.state_dict()))
    assert metadata["model"] == "SiMBA-Test"
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="w.safetensors"):
        load_weights(path)
