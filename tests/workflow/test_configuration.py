import copy
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from clip_mamba.data.augment import Augmentation
from clip_mamba.recipe import Recipe
from clip_mamba.training.section import complete
from workflow.configuration import SCHEMA, mistakes, model_names

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_shipped_configuration_is_valid(config):
    assert mistakes(config) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("scalles",), 1, "unknown key 'scalles'; did you mean 'scales'?"),
        (("scale",), "dem", "unknown value 'dem'; did you mean 'demo'?"),
        (("scales", "demo", "zeroshott"), [], "did you mean 'zeroshot'?"),
        (("scales", "demo", "zeroshot"), ["mnits"], "did you mean 'mnist'?"),
        (("scales", "demo", "models"), ["VMamba-Nanno"], "did you mean 'VMamba-Nano'?"),
        (("scales", "demo", "models"), "ViT-Nano", "is not of type array"),
        (("scales", "demo", "ood", "levels"), {"contrasst": ["c10"]}, "did you mean 'contrast'?"),
        (("scales", "demo", "corpus", "styles"), ["twemojo"], "did you mean 'twemoji'?"),
        (("scales", "demo", "corpus", "styles"), ["fluent-3d"], "unknown training style"),
        (("scales", "demo", "recipe"), "deno", "did you mean 'demo'?"),
        (("scales", "demo", "variants", "as-published", "recipe"), "pubished", "'as-published'?"),
        (("scales", "demo", "variants", "as-published", "models"), ["ViT-Nan"], "'ViT-Nano'?"),
        (("scales", "demo", "variants", "as-published", "model"), [], "did you mean 'models'?"),
        (("recipes", "demo-as-published", "like"), "demos", "did you mean 'demo'?"),
        (("recipes", "demo-as-published", "like"), "demo-as-published", "unknown recipe"),
        (("scales", "paper", "ood", "conditions"), ["edges"], "did you mean 'edge'?"),
        (("scales", "paper", "zeroshot"), ["food-101"], "did you mean 'food101'?"),
        (("scales", "paper", "corpus", "kind"), "yfcc", "did you mean 'yfcc15m'?"),
        (("scales", "paper", "corpus", "kidn"), "x", "did you mean 'kind'?"),
        (("scales", "demo", "weights"), "relesed", "did you mean 'released'?"),
        (("scales", "paper", "weights"), {"VMamba-SS": "released"}, "did you mean 'VMamba-S'?"),
        (("scales", "paper", "weights"), {"ViT-B-16": "released"}, "no weights of 'ViT-B-16'"),
        (("scales", "paper", "weights"), {"VMamba-S": "x.pt"}, "'x.pt' is neither"),
        (("recipes", "demo", "settings", "epoch"), 3, "did you mean 'epochs'?"),
        (("recipes", "demo", "settings", "lr"), "fast", "'fast' is not of type number"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_spelling(config, path, value, said):
    broken = copy.deepcopy(config)
    section = broken
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    (line,) = mistakes(broken)
    assert line.startswith("config.yaml: ") and "\n" not in line
    assert said in line


def test_a_missing_key_is_named(config):
    del config["scales"]["demo"]["hessian"]
    assert mistakes(config) == ["config.yaml: scales.demo: missing key hessian"]


def test_schema_and_library_agree_on_the_recipe():
    schema = yaml.safe_load(SCHEMA.read_text())
    settings = schema["$defs"]["recipe_settings"]["properties"]
    assert set(settings) == {f.name for f in fields(Recipe)}
    assert set(settings["augmentation"]["properties"]) == {f.name for f in fields(Augmentation)}


def test_schema_and_library_agree_on_conditions():
    from clip_mamba.corruptions.levels import CONDITIONS

    schema = yaml.safe_load(SCHEMA.read_text())
    known = schema["$defs"]["drawings_ood"]["properties"]["levels"]["properties"]
    assert list(known) == list(CONDITIONS)


def test_every_object_of_the_schema_is_closed_and_every_key_described():
    def walk(node, place):
        if node.get("type") == "object":
            assert node.get("additionalProperties") is not None, place
            for key, value in node.get("properties", {}).items():
                assert "description" in value or "$ref" in value, f"{place}.{key}"
                walk(value, f"{place}.{key}")

    schema = yaml.safe_load(SCHEMA.read_text())
    for name, node in [("top", schema), *schema["$defs"].items()]:
        walk(node, name)


def test_every_departure_from_the_report_has_a_reason(config):
    for name in config["recipes"]:
        recipe = complete(config["recipes"], name)
        chosen, report = Recipe.from_config(recipe["settings"]), Recipe()
        departures = {f.name for f in fields(Recipe) if _differ(chosen, report, f.name)}
        assert departures == set(recipe["reasons"]), name


def _differ(one, other, field):
    return getattr(one, field) != getattr(other, field)


def test_model_names_include_ours_and_open_clips():
    assert {"VMamba-Nano", "ViT-Nano", "SiMBA-Nano", "ViT-B-32"} <= set(model_names())
