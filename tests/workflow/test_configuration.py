import copy
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from clip_mamba.data.augment import Augmentation
from clip_mamba.recipe import ORIGINAL, Recipe
from clip_mamba.training.section import complete
from workflow import cross_checks
from workflow.configuration import SCHEMA, mistakes, settle
from workflow.cross_checks import model_names

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
        (("recipes", "demo", "models"), {"ViT-Nanoo": {}}, "did you mean 'ViT-Nano'?"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_spelling(config, path, value, said):
    line = only_mistake(config, path, value)
    assert line.startswith("config.yaml: ") and said in line


def only_mistake(config, path, value):
    """Set one value, and return the one line that is said of it."""
    broken = copy.deepcopy(config)
    section = broken
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    (line,) = mistakes(broken)
    assert "\n" not in line
    return line


DEMO = ("scales", "demo")
AUGMENTATION = ("recipes", "demo", "settings", "augmentation")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        # Names that exist, where no rule makes them.
        ((*DEMO, "models"), ["coca_ViT-B-32"], "unknown model 'coca_ViT-B-32'"),
        (("scales", "paper", "zeroshot"), ["unseen-style-group"], "this study's corpus is yfcc15m"),
        (("scales", "paper", "retrieval"), ["unseen-style"], "this study's corpus is yfcc15m"),
        ((*DEMO, "linear_probe"), ["sun397"], "sun397 has no training pictures"),
        ((*DEMO, "linear_probe"), ["mnist"], "tested on what it was trained on"),
        (
            (*DEMO, "linear_probe"),
            ["unseen-concepts-concept"],
            "no training picture shows a concept",
        ),
        # Pictures of another size than the study's.
        ((*DEMO, "models"), ["ViT-B-32"], "ViT-B-32 takes pictures of 224 pixels, and image_size"),
        ((*DEMO, "corpus", "image_size"), 31, "31: smaller than the 32 pixels"),
        # Values that mean nothing.
        ((*DEMO, "ood", "levels", "contrast"), ["c5O"], "'c5O' is not a level of 'contrast'"),
        ((*DEMO, "ood", "levels", "eidolonI"), ["1-3-2"], "'1-3-2' is not a level of 'eidolonI'"),
        ((*DEMO, "ood", "levels", "rotation"), ["90", "90.0"], "a level stands here twice"),
        ((*DEMO, "ood", "levels", "edge"), ["1"], "'1' is not a level of 'edge'"),
        ((*DEMO, "ood", "levels"), {}, "should be non-empty"),
        (
            (*DEMO, "hessian", "surface", "line"),
            20,
            "20 will not do; wanted: Points of a curve, od",
        ),
        ((*DEMO, "hessian", "surface", "plane"), 8, "8 will not do; wanted: Points of a side"),
        ((*DEMO, "corpus", "styles"), [], "should be non-empty"),
        ((*DEMO, "corpus", "styles"), ["noto", "noto"], "has non-unique elements"),
        ((*DEMO, "corpus", "seed"), 10**20, "greater than the maximum of 4294967295"),
        ((*DEMO, "seeds"), [10**20], "greater than the maximum of 4294967295"),
        ((*AUGMENTATION, "jitter_probability"), 3, "3 is greater than the maximum of 1"),
        ((*AUGMENTATION, "min_scale"), -1, "-1 is less than or equal to the minimum of 0"),
        ((*AUGMENTATION, "jitter"), [0.4, 0.4, 0.4, 0.6], "0.6 is greater than the maximum of 0.5"),
        (
            ("recipes", "fair", "settings", "betas"),
            [0.9, 2],
            "2 is greater than or equal to the max",
        ),
        (
            ("recipes", "fair", "settings", "warmup_epochs"),
            26,
            "26 of warm-up in a run of 25 epochs",
        ),
        (("recipes", "fair", "settings", "epochs"), 0.5, "1 of warm-up in a run of 0.5 epochs"),
        (("recipes", "fair", "models"), {"ViT-Nano": {"epochs": 0.5}}, "models.ViT-Nano.warmup_ep"),
        # Files.
        ((*DEMO, "weights"), {"ViT-Nano": "README.md"}, "'README.md' is neither a .safetensors"),
        (
            (*DEMO, "ood", "folders"),
            {"rain": {"folder": "/nope", "levels": ["a"]}},
            "'/nope' is no",
        ),
        (
            (*DEMO, "ood", "folders"),
            {"edge": {"folder": "docs", "levels": ["images"]}},
            "there is a",
        ),
        ((*DEMO, "ood", "folders"), {"rain": {"folder": "docs", "levels": ["a"]}}, "no folder 'a'"),
    ],
)
def test_what_would_fail_in_a_job_is_said_at_once(config, monkeypatch, path, value, said):
    monkeypatch.chdir(ROOT)
    assert said in only_mistake(config, path, value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("nope.tsv", "'nope.tsv' is no table of sets as data/ood.tsv: No such file"),
        ("README.md", "'README.md' is no table of sets as data/ood.tsv"),
        ("{folder}/short.tsv", "'edge' is not in"),
    ],
)
def test_a_table_of_sets_is_looked_into(config, monkeypatch, tmp_path, table, said):
    monkeypatch.chdir(ROOT)
    config["scale"] = "paper"
    kept = [line for line in Path("data/ood.tsv").read_text().splitlines() if "edge" not in line]
    (tmp_path / "short.tsv").write_text("\n".join(kept))
    assert said in only_mistake(
        config, ("scales", "paper", "ood", "table"), table.format(folder=tmp_path)
    )


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        (
            "my-task",
            {"templates": ["a photo"]},
            "'a photo' will not do; wanted: a sentence with one",
        ),
        ("my-task", {"templates": ["{} {}"]}, "'{} {}' will not do"),
        ("my-task", {"folder": "{empty}"}, "holds 0 folders; a task needs two or more"),
        ("my-task", {"folder": "/nope"}, "'/nope' is no folder"),
        ("unseen-things", {}, "names in 'unseen-' are of the emoji corpus"),
        ("cifar10", {}, "there is a task of that name"),
    ],
)
def test_an_own_task_is_looked_at(config, tmp_path, name, changed, said):
    for part in ("shapes/one", "shapes/two", "empty"):
        (tmp_path / part).mkdir(parents=True)
    task = {"folder": str(tmp_path / "shapes"), "templates": ["a {}."], **changed}
    task["folder"] = task["folder"].format(empty=tmp_path / "empty")
    assert said in only_mistake(config, ("tasks",), {name: task})


def test_an_own_task_is_not_probed(config, tmp_path):
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
    config["tasks"] = {"mine": {"folder": str(tmp_path), "templates": ["{}"]}}
    line = only_mistake(config, ("scales", "demo", "linear_probe"), ["mine"])
    assert "mine is a task of your own, which has no training pictures" in line


def test_a_models_file_is_looked_at(config, monkeypatch, tmp_path):
    (tmp_path / "a b.json").write_text('{"embed_dim": 1, "vision_cfg": {"image_size": 32}}')
    (tmp_path / "cut.json").write_text("{")
    files = {name: tmp_path / f"{name}.json" for name in ("a b", "cut")}
    monkeypatch.setattr(cross_checks, "config_files", lambda: files)
    monkeypatch.setattr("clip_mamba.catalogue.config_files", lambda: files)
    config["recipes"]["demo-as-published"]["models"] = {}
    config["scales"]["demo"] |= {"models": ["a b", "cut"], "variants": {}}
    config["scales"]["paper"]["models"] = ["a b"]
    said = " ".join(mistakes(config))
    assert "name its file with letters" in said
    assert "a b.json lacks text_cfg" in said and "cut.json is not JSON" in said


def test_the_file_that_said_it_is_named(config, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    mine = tmp_path / "mine.yaml"
    mine.write_text("scales: {demo: {image_size: 16, seeds: [-1]}}\n")
    config["scales"]["demo"]["seeds"] = [-1]
    config["scale"] = "dem"
    config["scales"]["paper"]["seeds"] = 1
    first, second, third = mistakes(config, [mine], {"scale": "dem"})
    assert first.startswith("--config: scale: ")
    assert second.startswith(f"{mine}: scales.demo.seeds.0: ")
    assert third.startswith("config.yaml: scales.paper.seeds: ")


def test_keys_of_another_kind_are_forgotten_only_where_they_were_shipped(config, monkeypatch):
    monkeypatch.chdir(ROOT)
    own = {"kind": "webdataset", "shards": "/data/*.tar", "limit": None, "max_pixels": 1}
    corpus = config["scales"]["demo"]["corpus"]
    corpus |= {**own, "styles": ["noto"]}
    settle(config)
    assert config["scales"]["demo"]["corpus"] == {**own, "styles": ["noto"]}
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    shipped["scales"]["demo"]["corpus"]["kidn"] = "x"
    before = copy.deepcopy(shipped)
    settle(shipped)
    assert shipped == before
    settle({"scales": {"demo": 3, "paper": {"corpus": [], "ood": {"source": []}}}})


def test_the_defaults_are_those_of_the_recipe():
    assert (Recipe.epochs, Recipe.warmup_epochs) == (
        cross_checks.EPOCHS,
        cross_checks.WARMUP_EPOCHS,
    )


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
        chosen, report = Recipe.from_config(recipe["settings"]), ORIGINAL
        departures = {f.name for f in fields(Recipe) if _differ(chosen, report, f.name)}
        assert departures == set(recipe["reasons"]), name


def _differ(one, other, field):
    return getattr(one, field) != getattr(other, field)


def test_model_names_include_ours_and_open_clips():
    assert {"VMamba-Nano", "ViT-Nano", "SiMBA-Nano", "ViT-B-32"} <= set(model_names())


@pytest.mark.parametrize("name", model_names())
def test_file_names_can_carry_every_model(name):
    assert re.fullmatch(cross_checks.MODEL_NAME, name)
