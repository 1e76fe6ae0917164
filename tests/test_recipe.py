import pytest
import torch
from torch import nn

from clip_mamba.recipe import Recipe, parameter_groups


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.ones(4, 2))
        self.linear = nn.Linear(3, 4)
        self.ln = nn.LayerNorm(4)

    def no_weight_decay(self):
        return {"A_log"}


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = Tower()
        self.positional_embedding = nn.Parameter(torch.ones(4, 2))
        self.logit_scale = nn.Parameter(torch.ones([]))


def decayed(rule):
    model = Clip()
    names = {id(p): n for n, p in model.named_parameters()}
    first, second = parameter_groups(model, 0.1, rule)
    assert (first["weight_decay"], second["weight_decay"]) == (0.1, 0.0)
    assert len(first["params"]) + len(second["params"]) == len(names)
    return {names[id(p)] for p in first["params"]}


def test_the_reports_rule_decays_the_state_matrix_and_positions():
    assert decayed("report") == {"visual.A_log", "visual.linear.weight", "positional_embedding"}


def test_mambas_rule_spares_what_the_model_lists():
    assert decayed("mamba") == {"visual.linear.weight"}


def test_lists_become_tuples_and_unknown_settings_are_refused():
    recipe = Recipe.from_config({"betas": [0.9, 0.95], "augmentation": {"min_scale": 0.9}})
    assert recipe.betas == (0.9, 0.95)
    assert recipe.augmentation.min_scale == 0.9
    with pytest.raises(ValueError, match="epoch"):
        Recipe.from_config({"epoch": 3})
