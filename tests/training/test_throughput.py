"""Arithmetic per pair, against a count by hand."""

import pytest
import torch

from clip_mamba import create_model
from clip_mamba.models.summary import summarise
from clip_mamba.training.throughput import flops_per_pair, peak_flops


@pytest.mark.parametrize("name", ["ViT-Test", "VMamba-Test", "SiMBA-Test"])
def test_a_step_costs_three_forward_passes_of_both_towers(name):
    model = create_model(name)[0]
    image = 2e9 * summarise(name).gflops
    width, layers, tokens = 32, 1, 24
    text = 2 * layers * tokens * 12 * width**2  # projections and MLP; attention comes on top
    found = flops_per_pair(model, 16) / 3
    assert image + text < found < 1.2 * (image + text) + 4 * tokens**2 * width * layers
    assert all(p.device.type == "cpu" and p.requires_grad for p in model.parameters())


def test_the_peak_of_a_processor_is_not_guessed():
    assert peak_flops(torch.device("cpu"), "bf16-mixed") is None
