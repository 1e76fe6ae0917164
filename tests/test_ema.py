import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from clip_mamba.ema import CosineEMA, momentum


def test_momentum_rises_from_start_to_one():
    assert momentum(0.996, 0, 100) == pytest.approx(0.996)
    assert momentum(0.996, 50, 100) == pytest.approx(0.998)
    assert momentum(0.996, 100, 100) == 1.0
    assert momentum(0.996, 200, 100) == 1.0


def averaged_after_two_updates(model):
    ema = CosineEMA(0.9, steps=10)
    averaged = AveragedModel(model, use_buffers=ema._use_buffers, **ema._kwargs)
    averaged.update_parameters(model)  # the first update copies
    return averaged


def test_parameters_are_averaged_and_buffers_copied():
    model = nn.BatchNorm1d(3)
    averaged = averaged_after_two_updates(model)
    with torch.no_grad():
        model.weight.fill_(0.0)
    model.running_mean.fill_(5.0)
    averaged.update_parameters(model)
    torch.testing.assert_close(averaged.module.weight, torch.full((3,), momentum(0.9, 1, 10)))
    assert torch.equal(averaged.module.running_mean, torch.full((3,), 5.0))


def test_infinities_in_an_attention_mask_survive():
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]), persistent=False)
    averaged = averaged_after_two_updates(model)
    averaged.update_parameters(model)
    assert torch.equal(averaged.module.mask, model.mask)


def average_of(buffers):
    """An averaging callback whose copy has seen a model once."""
    model = nn.BatchNorm2d(3)
    ema = CosineEMA(0.9, steps=10, buffers=buffers)
    ema._average_model = AveragedModel(model, use_buffers=ema._use_buffers, **ema._kwargs)
    model.running_mean.fill_(1.0)
    ema.update(model)
    return ema, model


@pytest.mark.parametrize(
    ("buffers", "mean"),
    [("copied", 5.0), ("averaged", 5 - 4 * momentum(0.9, 1, 10)), ("reference", 0.0)],
)
def test_batch_norms_statistics_are_copied_averaged_or_never_touched(buffers, mean):
    ema, model = average_of(buffers)
    model.running_mean.fill_(5.0)
    ema.update(model)
    torch.testing.assert_close(ema.averaged.running_mean, torch.full((3,), mean))
    expected = torch.ones(3)
    torch.testing.assert_close(ema.averaged.running_var, expected)
