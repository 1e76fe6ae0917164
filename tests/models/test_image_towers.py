"""Properties that every image tower has, on the tiny variants; sizes on all."""

import pytest
import timm
import torch
from timm.models._manipulate import group_parameters
from torch.nn.attention import SDPBackend, sdpa_kernel

import clip_mamba
from clip_mamba.models import simba
from clip_mamba.models.layers import SelectiveScan
from clip_mamba.models.summary import summarise

TINY = {"VMamba-Test": "test_vmamba", "SiMBA-Test": "test_simba", "ViT-Test": "test_vit_patch4_16"}
MAMBA = ("test_vmamba", "test_simba")
ALL_TINY = [*TINY.values(), "vmamba_nano"]  # the last: no gate, three stages

# Image tower without head, and 1e9 multiply-accumulates at 224 px.
PUBLISHED = {
    "VMamba-T220": (31_715_904, 5.05),
    "VMamba-S": (49_378_752, 8.72),
    "VMamba-B": (87_532_800, 15.36),
    "SiMBA-S": (25_693_088, 6.84),
    "SiMBA-B": (39_183_744, 10.08),
    "SiMBA-L": (65_736_512, 20.14),
}
DEMO = {
    "ViT-Nano": (0.2e6, 0.27e6),
    "VMamba-Nano": (0.2e6, 0.27e6),
    "SiMBA-Nano": (0.2e6, 0.27e6),
    "ViT-Micro": (0.45e6, 0.6e6),
    "VMamba-Micro": (0.45e6, 0.6e6),
    "VMamba-Pico": (0.10e6, 0.12e6),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name):
    row = summarise(name)
    parameters, gflops = PUBLISHED[name]
    assert row.image_parameters == parameters
    assert row.projection_parameters == row.projection_parameters // 512 * 512
    assert row.text_parameters == 63_428_096
    assert row.gflops == pytest.approx(gflops, rel=2e-3)


@pytest.mark.parametrize("name", DEMO)
def test_demo_size(name):
    low, high = DEMO[name]
    assert low <= summarise(name).image_parameters <= high


@pytest.mark.parametrize("name", ALL_TINY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_finite(name, dtype):
    model = timm.create_model(name, num_classes=0)
    image = torch.randn(2, *model.default_cfg["input_size"])
    with torch.autocast("cpu", dtype):
        features = model(image)
    assert features.isfinite().all()
    features.float().square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", MAMBA)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_scan_is_float32_under_autocast(name, dtype):
    model = timm.create_model(name, num_classes=0).eval()
    types = []
    for module in model.modules():
        if isinstance(module, SelectiveScan):
            module.register_forward_hook(lambda module, args, y: types.append(y.dtype))
    with torch.autocast("cpu", dtype), torch.no_grad():
        model(torch.randn(1, *model.default_cfg["input_size"]))
    assert types
    assert set(types) == {torch.float32}


@pytest.mark.parametrize("name", TINY)
def test_second_derivative(name):
    """A Hessian-vector product of the CLIP loss agrees with differences of the gradient."""
    model, _, tokenizer = clip_mamba.create_model(name)
    model.double()
    image = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    tokens = tokenizer(["a cat", "a red car", "two trees"])
    parameters = [p for p in model.visual.parameters()]
    direction = [torch.randn_like(p) for p in parameters]

    def gradient(create_graph=False):
        left, right = model.get_logits(image, tokens)
        loss = left.log_softmax(-1).diagonal().mean() + right.log_softmax(-1).diagonal().mean()
        return torch.autograd.grad(loss, parameters, create_graph=create_graph)

    with sdpa_kernel(SDPBackend.MATH):
        dot = sum((g * d).sum() for g, d in zip(gradient(True), direction, strict=True))
        product = torch.autograd.grad(dot, parameters)
        step, sides = 1e-6, []  # small: SiMBA's ReLU has kinks
        for sign in (1, -2):
            with torch.no_grad():
                for p, d in zip(parameters, direction, strict=True):
                    p += sign * step * d
            sides.append(gradient())
    differences = [(a - b) / (2 * step) for a, b in zip(*sides, strict=True)]
    error = sum((a - b).square().sum() for a, b in zip(product, differences, strict=True)).sqrt()
    size = sum(b.square().sum() for b in differences).sqrt()
    assert error < 1e-4 * size, (error / size).item()


@pytest.mark.parametrize("name", MAMBA)
@pytest.mark.parametrize("size", [(16, 16), (33, 20)])
def test_any_resolution_and_layout(name, size):
    model = timm.create_model(name, num_classes=5).eval()
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert model(image).shape == (2, 5)
        final, maps = model.forward_intermediates(image)
    reductions = [info["reduction"] for info in model.feature_info]
    expected = [tuple(-(-side // r) for side in size) for r in reductions]
    assert [tuple(m.shape[2:]) for m in maps] == expected
    torch.testing.assert_close(model.forward_head(final), model(image))


@pytest.mark.parametrize("name", MAMBA)
def test_features_only(name):
    backbone = timm.create_model(name, features_only=True).eval()
    maps = backbone(torch.randn(1, 3, 16, 16))
    assert [m.shape[1] for m in maps] == backbone.feature_info.channels()


@pytest.mark.parametrize("name", MAMBA)
def test_checkpointing_changes_nothing(name):
    model = timm.create_model(name, num_classes=0)
    image = torch.randn(2, 3, 16, 16)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(image).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", MAMBA)
def test_timm_conventions(name):
    model = timm.create_model(name, num_classes=7)
    assert model.get_classifier().out_features == 7
    model.reset_classifier(0)
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, model.num_features)
    names = dict(model.named_parameters())
    assert model.no_weight_decay() <= set(names)
    assert any("A_log" in n for n in model.no_weight_decay())
    for coarse in (False, True):
        groups = group_parameters(model, model.group_matcher(coarse))
        assert sum(map(len, groups.values())) == len(names)
    cfg = model.default_cfg
    assert model.get_submodule(cfg["first_conv"]).in_channels == 3
    deeper = timm.create_model(name, drop_path_rate=0.5)
    assert "DropPath" in repr(deeper)


def test_simba_init():
    """`mamba` keeps the range of step sizes, `released` starts them all at softplus(0)."""
    mixers = {}
    for init in ("mamba", "released"):
        model = timm.create_model("test_simba", init=init)
        mixers[init] = model.stages[0].blocks[0].mixer
    steps = torch.nn.functional.softplus(mixers["mamba"].dt_proj.bias)
    assert 0.9e-3 < steps.min() < steps.max() < 0.11
    assert not mixers["released"].dt_proj.bias.any()
    assert mixers["released"].dt_proj.weight.std() < 0.03
    with pytest.raises(ValueError, match="'released'"):
        timm.create_model("test_simba", init="release")


def test_simba_starts_as_released():
    assert not timm.create_model("test_simba").stages[0].blocks[0].mixer.dt_proj.bias.any()


@pytest.mark.parametrize("name", MAMBA)
def test_compile(name):
    """The whole network is one graph, the scan an operator in it."""
    torch._dynamo.reset()
    model = timm.create_model(name, num_classes=0)
    image, weight = torch.randn(2, 3, 16, 16), torch.randn(2, model.num_features)
    results = []
    for run in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        features = run(image)
        gradients = torch.autograd.grad((features * weight).sum(), list(model.parameters()))
        results.append([features, *gradients])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)


def test_simba_has_one_pooling():
    with pytest.raises(ValueError, match="class token"):
        simba.Simba(global_pool="avg", depths=(1,), dims=(16,), mlp_ratios=(2,))


def test_simba_token_block_sees_the_mean_only():
    model = timm.create_model("test_simba", num_classes=0).eval()
    x = torch.randn(2, 3, 5, 24)
    shuffled = x.flatten(1, 2)[:, torch.randperm(15)].view_as(x)
    torch.testing.assert_close(model.class_token(x), model.class_token(shuffled))


def test_the_demo_can_test_the_claim_of_efficiency():
    small, large = (
        row.image_parameters + row.projection_parameters
        for row in (summarise("VMamba-Pico"), summarise("ViT-Micro"))
    )
    assert small <= large / 4


@pytest.mark.parametrize("name", ALL_TINY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_give_nearly_the_same_features(name, dtype):
    model = timm.create_model(name, num_classes=0).eval()
    image = torch.randn(2, *model.default_cfg["input_size"])
    with torch.inference_mode():
        exact = model(image)
        found = model.to(dtype)(image.to(dtype)).float()
    assert (found - exact).norm() < 0.1 * exact.norm()
