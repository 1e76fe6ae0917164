"""The rules at paper scale: released sets and people over HTTP, to the table with its ceiling."""

import json

import pandas as pd
import pytest
import yaml

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from tests import released_sets as made
from tests.http_server import serve
from tests.workflow.conftest import snakemake

CONDITIONS = ["false-colour", "cue-conflict"]
MODELS = ["ViT-Test", "VMamba-Test"]
TARGETS = [
    "results/tables/ood.tex",
    "results/figures/ood-false-colour.pdf",
    "results/paper/ood/toolbox/raw-data",
]


@pytest.fixture
def override(tmp_path):
    """Write a configuration that has everything of the paper's but its size and its network."""
    table = made.write_all(tmp_path / "site")
    weights = {}
    for name in MODELS:
        weights[name] = str(tmp_path / f"{name}.safetensors")
        save_weights(weights[name], create_model(name)[0], {"model": name})
    with serve(tmp_path / "site") as server:
        ood = {"conditions": CONDITIONS, "table": str(table), "decision": "names"}
        mirrors = {
            made.RELEASES: f"{server.url}/releases",
            made.TRIALS: f"{server.url}/trials",
        }
        downloads = {"mirrors": mirrors, "checksums": str(tmp_path / "checksums.tsv")}
        study = {"models": MODELS, "image_size": 16, "weights": weights, "ood": ood}
        path = tmp_path / "override.yaml"
        changes = {"scale": "paper", "scales": {"paper": study}, "downloads": downloads}
        path.write_text(yaml.safe_dump(changes))
        yield str(path)


@pytest.mark.timeout(300)
def test_from_archives_to_the_table_with_people(project, override):
    done = snakemake(project, *TARGETS, config=override)
    assert done.returncode == 0, done.stderr[-4000:]
    frame = pd.read_csv(project / "results/tables/ood.csv", keep_default_na=False)
    own = frame[frame["quantity"] == "benchmark"]
    people = own[own["model"] == "people"].set_index("level")["value"]
    assert 0.5 < float(people["OOD accuracy"]) < 0.9
    assert 0 < float(people["observed consistency"]) < 1
    models = own[own["level"] == "error consistency"].set_index("model")["value"]
    assert -1 < float(models["VMamba-Test"]) < 1
    assert "& people" in (project / "results/tables/ood.tex").read_text()
    assert (project / "results/figures/ood-false-colour.pdf").read_bytes().startswith(b"%PDF")
    result = json.loads(
        (project / "results/paper/ood/ViT-Test-given/cue-conflict.json").read_text()
    )
    assert result["split"] == "released stimuli" and result["seed"] == "given"
    trials = project / "results/paper/ood/toolbox/raw-data/false-colour"
    assert sorted(path.name for path in trials.iterdir()) == [
        "false-colour_VMamba-Test-given_session-1.csv",
        "false-colour_ViT-Test-given_session-1.csv",
        *(f"false-colour_subject-{n:02d}_session_1.csv" for n in (1, 2, 3)),
    ]
    again = snakemake(project, "-n", *TARGETS, config=override)
    assert "Nothing to be done" in again.stdout + again.stderr
