"""Our networks against the outputs of the reference code, under the same weights and inputs."""

import json

import open_clip
import pytest
import torch
from released_layout import FIXTURES, filled_state, key_list, pictures

import clip_mamba
from clip_mamba.checkpoints import remap_released

TOLERANCE = 5e-6  # relative L2; float32 against float64 differs by up to 9e-7

#: module in our model -> name in the golden trace
TRACES = {
    "VMamba-T220": {
        "patch_embed": "patch_embed",
        "stages.0.blocks.0.mixer": "layers.0.blocks.0.op",
        "stages.0.blocks": "layers.0.blocks",
        "stages.1.downsample": "layers.0",
        "stages.1.blocks": "layers.1.blocks",
        "stages.2.downsample": "layers.1",
        "stages.2.blocks": "layers.2.blocks",
        "stages.3.downsample": "layers.2",
        "stages.3.blocks": "layers.3.blocks",
    },
    "SiMBA-S": {
        "stages.0.downsample": "patch_embed1",
        "stages.0.blocks.0.mixer": "block1.0.attn",
        "stages.0.blocks": "block1",
        "stages.1.downsample": "patch_embed2",
        "stages.1.blocks": "block2",
        "stages.2.downsample": "patch_embed3",
        "stages.2.blocks": "block3",
        "stages.3.downsample": "patch_embed4",
        "stages.3.blocks": "block4",
    },
}
GOLDEN = {"VMamba-T220": "VMamba_T220", "SiMBA-S": "Simba_S"}


@pytest.fixture(scope="module", params=list(GOLDEN))
def outputs(request):
    name = request.param
    golden = json.loads((FIXTURES / f"golden_{GOLDEN[name]}.json").read_text())
    recognised, state = remap_released(filled_state(key_list(GOLDEN[name])), "online")
    assert recognised == name
    model, _, tokenizer = clip_mamba.create_model(name)
    model.load_state_dict(state)
    trace = {}

    def keep(key):
        return lambda module, inputs, output: trace.__setitem__(key, output)

    for module, key in TRACES[name].items():
        model.visual.trunk.get_submodule(module).register_forward_hook(keep(key))
    with torch.no_grad():
        tokens = tokenizer(golden["texts"])
        features = (model.encode_image(pictures()), model.encode_text(tokens))
    return golden, trace, tokens, features, model.logit_scale.exp().detach()


def relative(found, expected):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return ((found.double() - expected).norm() / expected.norm()).item()


def test_features(outputs):
    golden, _, tokens, (image, text), _ = outputs
    assert tokens.tolist() == golden["tokens"]
    for found, key in ((image, "encode_image_full"), (text, "encode_text_full")):
        for row, expected in zip(found, golden[key], strict=True):
            assert relative(row, expected) < TOLERANCE


def test_loss_and_logits(outputs):
    golden, _, _, (image, text), scale = outputs
    image, text = (x / x.norm(dim=-1, keepdim=True) for x in (image, text))
    loss = open_clip.ClipLoss()(image, text, scale)
    assert abs(loss.item() - golden["clip_loss"]["loss"]) < 1e-6
    torch.testing.assert_close(
        scale * image @ text.T, torch.tensor(golden["logits_per_image"]), rtol=5e-5, atol=5e-6
    )


def test_trace(outputs):
    golden, trace, *_ = outputs
    for key, found in trace.items():
        expected = golden["trace"][key]
        assert found.numel() == torch.Size(expected["shape"]).numel(), key
        flat = found.flatten()
        assert abs(flat.double().norm() / expected["l2"] - 1) < TOLERANCE, key
        assert relative(flat[:8], expected["first8"]) < 10 * TOLERANCE, key
