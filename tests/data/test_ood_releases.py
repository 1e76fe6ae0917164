"""The 17 released sets from end to end: HTTP, repacking, decisions, comparison with people."""

import csv
import json
import os
import re
import tarfile
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clip_mamba import ood
from clip_mamba.corruptions.levels import CONDITIONS, EXCLUDED_LEVELS, LEVELS, normalise_level
from clip_mamba.data import checksums, download
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.humans import COMMIT, fetch_humans, read_humans, trial_files
from clip_mamba.data.ood_releases import fetch_release, read_releases, repack
from clip_mamba.ood.benchmark import benchmark
from clip_mamba.ood.export import export_trials
from clip_mamba.ood.trials import mismatches, read_trials, write_trials
from clip_mamba.stimuli import read_stimuli
from tests import released_sets as made
from tests.http_server import serve
from tests.ood_objects import Colourist, preprocess, tokenizer


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Serve the miniatures where the environment's mirrors point."""
    folder = tmp_path_factory.mktemp("site")
    table = made.write_all(folder)
    with serve(folder) as server, pytest.MonkeyPatch.context() as patch:
        mirrors = {
            made.RELEASES: f"{server.url}/releases",
            made.TRIALS: f"{server.url}/trials",
        }
        patch.setenv(download.MIRRORS, json.dumps(mirrors))
        patch.setenv(checksums.VARIABLE, str(folder / "checksums.tsv"))
        yield server, table


@pytest.fixture(scope="module")
def sets(site, tmp_path_factory):
    """Fetch and repack all sets and fetch all people."""
    _, table = site
    folder = tmp_path_factory.mktemp("sets")
    for condition in CONDITIONS:
        archive = fetch_release(condition, folder / f"{condition}.tar.gz", table=table)
        repack(archive, condition, folder / f"{condition}.tar", table=table)
        fetch_humans(condition, folder / "humans" / condition, table=table)
    return folder


@pytest.fixture(scope="module")
def trials(sets):
    """Let two models decide on all sets; returns the files of their trials."""
    files = []
    for name, scale in (("Bright-0", 1.0), ("Dim-0", 0.4)):
        tables = ood.evaluate(
            Colourist(), lambda image, scale=scale: scale * preprocess(image), tokenizer,
            {c: sets / f"{c}.tar" for c in CONDITIONS}, subject=name, progress=False,
        )  # fmt: skip
        for condition, table in tables.items():
            files.append(sets / "ood" / name / f"{condition}.csv")
            write_trials(table, files[-1])
    return files


def test_the_table_has_the_17_sets_and_90_files_of_people():
    releases = read_releases()
    assert list(releases) == list(CONDITIONS)
    assert all(r.url == f"{made.RELEASES}/{name}.tar.gz" for name, r in releases.items())
    names = {f"{name}/{file}" for name in releases for file in trial_files(name)}
    known = Path(__file__).parents[2] / "data" / "checksums.tsv"
    rows = csv.DictReader(known.read_text().splitlines(), delimiter="\t")
    recorded = {row["url"].removeprefix(f"{made.TRIALS}/") for row in rows if COMMIT in row["url"]}
    assert recorded == names
    assert len(names) == 90


@pytest.mark.parametrize("condition", CONDITIONS)
def test_names_say_what_a_picture_shows(sets, condition):
    read = read_stimuli(sets / f"{condition}.tar")
    found = {s.imagename: s for s in read}
    layout = read_releases()[condition].layout
    assert len(read) == len(found) == made.IMAGES
    order = [(s.category if layout == "categories" else "", s.imagename) for s in read]
    assert order == sorted(order)
    for number, (level, category, picture) in enumerate(made.stimuli(condition), 1):
        path = made.path_in_release(condition, layout, number, level, category, picture)
        stimulus = found[path.rpartition("/")[2]]
        assert (stimulus.level, stimulus.category, stimulus.session) == (level, category, 1)
        assert stimulus.png == made.png(number)
        assert stimulus.base == picture
        texture = re.sub(r".*-([a-z]+)[0-9]+\.png", r"\1", picture)
        assert stimulus.texture == (texture if condition == "cue-conflict" else None)


def test_a_set_is_fetched_once_and_repacked_to_equal_bytes(site, sets, tmp_path):
    server, table = site
    assert server.requests["releases/edge.tar.gz"] == 1
    repack(sets / "edge.tar.gz", "edge", tmp_path / "edge.tar", table=table)
    assert (tmp_path / "edge.tar").read_bytes() == (sets / "edge.tar").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["edge.tar"]


def test_a_changed_release_is_refused(site, sets, tmp_path):
    server, table = site
    folder = Path(table).parent / "releases"
    original = (folder / "silhouette.tar.gz").read_bytes()
    made.write_release(folder, "silhouette", "sessions")
    try:
        with pytest.raises(FetchError, match="Expected sha256"):
            fetch_release("silhouette", tmp_path / "s.tar.gz", table=table)
    finally:
        (folder / "silhouette.tar.gz").write_bytes(original)
    assert not list(tmp_path.iterdir())


def repacked(tmp_path, site, files):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            made.add(archive, name, content)
    repack(tmp_path / "a.tar.gz", "contrast", tmp_path / "out.tar", table=site[1])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"contrast/bear/x.png": b""}, "no picture in folders such as contrast/dnn/session-1"),
        ({"contrast/dnn/session-1/hello.png": b""}, "not named as a stimulus of 'contrast'"),
        ({"contrast/dnn/session-1/0001_cop_dnn_c07_bear_10_a.png": b""}, "level 'c07'"),
        ({"contrast/dnn/session-1/0001_cop_dnn_c05_cow_10_a.png": b""}, "category 'cow'"),
        ({"contrast/dnn/session-1/0001_cop_dnn_c05_bear_10_a.png": b""}, "holds 1 pictures.*c100"),
    ],
)
def test_what_is_no_release_is_refused(site, tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        repacked(tmp_path, site, files)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_damaged_picture_is_named(site, tmp_path):
    files = {
        made.path_in_release("contrast", "sessions", n, *shown): made.png(n)[
            : 45 if n == 5 else None
        ]
        for n, shown in enumerate(made.stimuli("contrast"), 1)
    }
    with pytest.raises(ValueError, match=r"0005_cop_dnn_.* is damaged"):
        repacked(tmp_path, site, files)


def exact(files, excluded):
    """Compute the benchmark's numbers from CSV files alone, in exact fractions.

    Nothing of the library is used but the spelling of levels.
    """
    right = defaultdict(dict)  # set, level, subject -> picture -> whether right
    for condition, paths in files.items():
        for path in paths:
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    level = normalise_level(condition, row["condition"])
                    if level in excluded.get(condition, ()):
                        continue
                    parts = row["imagename"].split("_")
                    picture = "_".join(parts[-2:] if "_n0" in row["imagename"] else parts[-1:])
                    hit = row["object_response"] == row["category"]
                    right[condition, level, row["subj"]][picture] = hit
    subjects = sorted({key[2] for key in right})
    result = {}
    for name in [*(s for s in subjects if "subject" not in s), "humans"]:
        means = defaultdict(list)
        for condition in files:
            levels = sorted({level for c, level, _ in right if c == condition})
            own = sorted({s for c, _, s in right if c == condition})
            people = [s for s in own if "subject" in s]
            pairs = [(name, h) for h in people]
            if name == "humans":
                pairs = [(a, b) for a in people for b in people if a < b]
            pooled = [
                hit
                for (c, _, s), pictures in right.items()
                for hit in pictures.values()
                if c == condition and (s in people if name == "humans" else s == name)
            ]
            means["OOD accuracy"].append(Fraction(sum(pooled), len(pooled)))
            sums = defaultdict(Fraction)
            for level in levels:
                for one, two in pairs:
                    a, b = right[condition, level, one], right[condition, level, two]
                    n = len(a)
                    p, q = Fraction(sum(a.values()), n), Fraction(sum(b.values()), n)
                    agreed = Fraction(sum(a[k] == b[k] for k in a), n)
                    chance = p * q + (1 - p) * (1 - q)
                    share = Fraction(1, len(pairs) * len(levels))
                    sums["accuracy difference"] += share * (p - q) ** 2
                    sums["observed consistency"] += share * agreed
                    kappa = 1 if agreed == 1 else (agreed - chance) / (1 - chance)
                    sums["error consistency"] += share * kappa
            for metric, value in sums.items():
                means[metric].append(value)
        result[name] = {metric: sum(v) / len(v) for metric, v in means.items()}
    return result


def together(sets, trials):
    found = {}
    for condition in CONDITIONS:
        own = [path for path in trials if path.stem == condition]
        people = read_humans(sets / "humans" / condition, condition)
        found[condition] = pd.concat([read_trials(own, condition), people], ignore_index=True)
    return found


def test_metrics_equal_exact_fractions_of_the_files(sets, trials):
    files = {
        c: [*(sets / "humans" / c).glob("*.csv"), *(p for p in trials if p.stem == c)]
        for c in CONDITIONS
    }
    expected = exact(files, EXCLUDED_LEVELS)
    table = benchmark(together(sets, trials))
    assert set(table.index) == {"Bright-0", "Dim-0", "humans"}
    for name, values in expected.items():
        for metric, value in values.items():
            assert table.loc[name, metric] == pytest.approx(float(value), abs=1e-12), (name, metric)
    assert (
        0.2 < expected["humans"]["error consistency"] < 1
        or expected["humans"]["OOD accuracy"] > 0.5
    )


def test_people_and_models_saw_the_same_pictures_or_it_is_said(sets, trials):
    tables = together(sets, trials)
    for condition, table in tables.items():
        assert mismatches(table, condition) == []
        assert set(table["condition"]) == set(LEVELS[condition])
    table = tables["uniform-noise"]
    lacking = table.drop(index=table.index[table["subj"] == "subject-02"][:2])
    (said,) = mismatches(lacking, "uniform-noise")
    assert "subject-02 saw 30 pictures and Bright-0 32: 2 missing, 0 other, 0 repeated" in said
    with pytest.raises(ValueError, match="saw different pictures"):
        benchmark({"uniform-noise": lacking})


def test_the_toolbox_finds_files_named_and_filled_as_its_own(sets, trials, tmp_path):
    humans = [sets / "humans" / condition for condition in CONDITIONS]
    count = export_trials(trials, humans, tmp_path / "raw-data")
    assert count == len(list(tmp_path.glob("raw-data/*/*.csv")))
    for condition in CONDITIONS:
        folder = tmp_path / "raw-data" / condition
        assert (folder / f"{condition}_Bright-0_session-1.csv").exists()
        original = sets / "humans" / condition / f"{condition}_subject-01_session_1.csv"
        assert (folder / original.name).read_bytes() == original.read_bytes()
        # Its reader: all files of a folder, pandas guessing types, lower-case columns.
        frames = [pd.read_csv(path) for path in sorted(folder.glob("*.csv"))]
        frames = [frame.rename(columns=str.lower) for frame in frames]
        ours = frames[0] if "Bright" in frames[0]["subj"][0] else frames[1]
        assert list(ours.columns) == list(frames[-1].columns)
        levels = set(pd.concat(frames)["condition"].astype(str))
        if len(LEVELS[condition]) > 1:
            assert levels == set(LEVELS[condition])


def test_the_1000_classes_are_asked_for_as_the_benchmark_does():
    from clip_mamba.ood.decision import question

    asked = question("imagenet")
    assert len(asked.names) == 1000
    assert asked.names[404] == ["airliner"]
    assert asked.names[766][0].startswith("rotisserie")
    assert len(asked.templates) == 80
    assert "a photo of a {}." in asked.templates
    assert torch.equal(asked.matrix.sum(0).round(decimals=5), torch.ones(16))
    assert question("names").matrix is None
    with pytest.raises(ValueError, match="known: names, imagenet"):
        question("image-net")


@pytest.mark.skipif(
    "CLIP_MAMBA_HUMAN_TRIALS" not in os.environ,
    reason="CLIP_MAMBA_HUMAN_TRIALS names no folder of the benchmark's raw-data",
)
def test_the_published_trials_give_the_published_numbers():
    folder = Path(os.environ["CLIP_MAMBA_HUMAN_TRIALS"])
    trials = {name: read_humans(folder / name, name) for name in CONDITIONS}
    table = benchmark(trials).loc["humans"]
    expected = exact({c: list((folder / c).glob("*.csv")) for c in CONDITIONS}, EXCLUDED_LEVELS)
    for metric, value in expected["humans"].items():
        assert table[metric] == pytest.approx(float(value), abs=1e-9), metric
    # As the toolbox's own analysis code has them.
    assert table["OOD accuracy"] == pytest.approx(0.72281469, abs=1e-8)
    assert table["accuracy difference"] == pytest.approx(0.00656557, abs=1e-8)
    assert table["observed consistency"] == pytest.approx(0.80854237, abs=1e-8)
    assert table["error consistency"] == pytest.approx(0.43121638, abs=1e-8)
    bias = ood.metrics.shape_bias(trials["cue-conflict"])["shape bias"]
    assert bias == pytest.approx(0.9586879801, abs=1e-10)
    assert all(not mismatches(table, name) for name, table in trials.items())
    assert np.mean([len(t) for t in trials.values()]) > 4000
