"""docs/adding.md, done as it says: its blocks are taken from the page and run."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.workflow.conftest import copy_project, snakemake

PAGE = (Path(__file__).parents[2] / "docs/adding.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def folder_of_pictures(root, *parts):
    """Make a few coloured pictures in each of the given folders."""
    for number, part in enumerate(parts):
        (root / part).mkdir(parents=True)
        for shade in (60, 120, 180):
            colour = tuple(shade if number % 3 == channel else 20 for channel in range(3))
            Image.new("RGB", (24, 24), colour).save(root / part / f"{shade}.png")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("adding") / "clip-mamba")
    model = re.search(r"configs/([\w-]+)\.json", PAGE).group(1)
    (configuration,) = (json.loads(block) for block in blocks("json"))
    (project / f"clip_mamba/models/configs/{model}.json").write_text(json.dumps(configuration))
    _, tasks, condition = (yaml.safe_load(block) for block in blocks("yaml"))
    (task,) = tasks["tasks"]
    folder_of_pictures(project / tasks["tasks"][task]["folder"], "red_square", "green_square")
    ((rain, facts),) = condition["folders"].items()
    places = [f"{level}/{name}" for level in facts["levels"] for name in ("cat", "dog", "truck")]
    folder_of_pictures(project / facts["folder"], *places)
    study = {
        "models": [model, "VMamba-Pico"],
        "image_size": 32,
        "corpus": {"image_size": 40},
        "zeroshot": [task, "unseen-style-group"],
        "linear_probe": [],
        "retrieval": [],
        "ood": condition,
    }
    override = {"scales": {"demo": study}, **tasks}
    (project / "adding.yaml").write_text(yaml.safe_dump(override))
    return project, model, task, rain


@pytest.mark.timeout(600)
def test_what_was_added_is_in_tables_and_figures(extended):
    project, model, task, condition = extended
    tables = [f"results/tables/{name}.tex" for name in ("zeroshot", "ood")]
    wanted = [*tables, "results/figures/accuracy.png"]
    done = snakemake(project, *wanted, config=["tests/workflow/miniature.yaml", "adding.yaml"])
    assert done.returncode == 0, done.stderr[-5000:]
    zeroshot = pd.read_csv(project / "results/tables/zeroshot.csv").set_index(["task", "model"])
    row = zeroshot.loc[task, model]
    assert 0 <= row["value"] <= 1 and row["examples"] == 6 and row["classes"] == 2
    assert "My shapes" in (project / "results/tables/zeroshot.tex").read_text()
    ood = pd.read_csv(project / "results/tables/ood.csv")
    own = ood[(ood["condition"] == condition) & (ood["model"] == model)]
    assert {"light", "heavy"} <= set(own["level"].dropna())
    assert condition in (project / "results/tables/ood.tex").read_text()
