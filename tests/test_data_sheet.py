from pathlib import Path

import yaml

from clip_mamba.data_sheet import data_sheet

DATA = Path(__file__).parents[1] / "data"


def test_every_data_set_of_the_paper_has_source_and_licence():
    study = yaml.safe_load((DATA.parent / "config.yaml").read_text())["scales"]["paper"]
    names = ("zeroshot", "retrieval", "ood", "released")
    rows = data_sheet([DATA / f"{name}.tsv" for name in names], study)
    assert len(rows) == 26 + 2 + 17
    assert all(row["source"] and row["licence"] for row in rows)
    released = {**study, "weights": {"VMamba-S": "released"}}
    assert len(data_sheet([DATA / "released.tsv"], released)) == 6


def test_the_demo_names_package_version_and_author():
    (noto, *_) = [r for r in data_sheet([DATA / "sources.tsv"], {}) if r["name"] == "noto"]
    assert noto["source"].startswith("@iconify-json/noto ") and noto["author"] == "Google Inc"
    assert noto["use"] == "style" and data_sheet(["nowhere.tsv"], {}) == []
