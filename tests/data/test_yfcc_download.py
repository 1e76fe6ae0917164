import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from clip_mamba.data import download, img2dataset
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.pairs import open_pairs
from clip_mamba.data.yfcc import join
from clip_mamba.data.yfcc_download import (
    Download,
    download_slice,
    failures,
    slice_rows,
    statistics,
)
from tests.data.small_yfcc import HOST, TROUBLE, SmallYfcc
from tests.download_environment import download_python
from tests.http_server import serve

SETTINGS = Download(image_size=32, per_shard=8, processes=1, threads=4, retries=0, timeout=5)


@pytest.fixture(scope="module")
def python():
    return download_python()


@pytest.fixture(scope="module")
def yfcc(tmp_path_factory):
    return SmallYfcc(tmp_path_factory.mktemp("yfcc"))


@pytest.fixture
def pairs(yfcc, tmp_path):
    path = tmp_path / "pairs.parquet"
    listing = yfcc.folder / "yfcc100m_subset_data.tsv.bz2"
    metadata = [yfcc.write_tsv("m.tsv")]
    join(listing, metadata, path, images="flickr", listed=40, min_found=0.9)
    return path


@pytest.fixture
def server(yfcc, monkeypatch):
    with serve(yfcc.folder) as running:
        monkeypatch.setenv(download.MIRRORS, json.dumps({HOST: running.url + "/"}))
        yield running


def pictures_asked(server):
    return Counter({name: n for name, n in server.requests.items() if name.endswith(".jpg")})


def test_a_slice_becomes_shards_an_index_and_pairs(pairs, server, python, tmp_path):
    folder = tmp_path / "slice"
    settings = {"python": python, "settings": SETTINGS}
    index = download_slice(pairs, folder, number=0, slices=1, **settings)
    # Of 37: two dead links, one page of HTML, one cut off, one empty, one without pixels, one of
    # 20,000 x 20,000 pixels.
    assert index["pairs"] == 30
    assert sum(index["left_out"].values()) == 7
    assert index["left_out"]["not downloaded: HTTP Error 404: File not found"] == 2
    assert index["left_out"]["not downloaded: too many pixels"] == 1
    assert len(index["shards"]) == 5
    corpus = open_pairs(folder / "index.json")
    sides = {min(corpus.image(i).size) for i in range(30)}
    assert sides == {32}  # 48 x 56 was scaled down
    texts = {tuple(corpus.captions(i)) for i in range(30)}
    assert ("Photo 0!", "A longer text on photo 0") in texts and ("Tom & Jerry <3",) in texts
    # Again: nothing is asked for a second time.
    asked = pictures_asked(server)
    assert set(asked.values()) == {1} and len(asked) == 37
    assert download_slice(pairs, folder, number=0, slices=1, **settings) == index
    assert pictures_asked(server) == asked


def _download(pairs, folder, python):
    os.setpgrp()
    slow = replace(SETTINGS, threads=1)
    download_slice(pairs, folder, number=0, slices=1, python=python, settings=slow)


def test_a_killed_download_goes_on_behind_the_complete_shards(
    pairs, server, python, tmp_path, monkeypatch
):
    folder = tmp_path / "slice"
    shards = folder / "shards"
    server.delay = 0.05
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_download, args=(pairs, folder, python))
    process.start()
    deadline = time.monotonic() + 60
    while len(list(shards.glob("*_stats.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    complete = statistics(shards)
    assert 2 <= len(complete) < 5
    kept = {path: (path.with_name(path.name[:5] + ".tar")).read_bytes() for path in complete}
    server.delay = 0
    before = pictures_asked(server)
    settings = {"python": python, "settings": SETTINGS}
    index = download_slice(pairs, folder, number=0, slices=1, **settings)
    assert index["pairs"] == 30
    for path, content in kept.items():
        assert path.with_name(path.name[:5] + ".tar").read_bytes() == content
    asked = pictures_asked(server) - before
    assert sum(asked.values()) == 37 - 8 * len(complete)


def test_a_slice_has_its_share_and_another_request_starts_it_anew(
    pairs, yfcc, server, python, tmp_path, capsys
):
    settings = {"python": python, "number": 1, "slices": 3}
    index = download_slice(pairs, tmp_path / "s", settings=SETTINGS, **settings)
    ids = pq.read_table(pairs)["photoid"].to_pylist()[12:24]
    numbers = {yfcc.photoid(n): n for n in yfcc.numbers}
    bad = {"dead link", "no picture", "cut off", "zero pixels", "20,000 pixels", "empty file"}
    assert index["pairs"] == sum(TROUBLE.get(numbers[i]) not in bad for i in ids)
    large = replace(SETTINGS, image_size=256)
    download_slice(pairs, tmp_path / "s", settings=large, **settings)
    assert "the request has changed" in capsys.readouterr().out
    corpus = open_pairs(tmp_path / "s" / "index.json")
    assert corpus.image(0).size == (56, 48)  # as it was served: nothing is scaled up


def test_slices_cover_all_rows():
    spans = [slice_rows(37, number, 3) for number in range(3)]
    assert spans == [(0, 12), (12, 24), (24, 37)]


def test_without_a_network_the_slice_fails_and_is_tried_again(
    pairs, server, python, tmp_path, monkeypatch
):
    folder, settings = tmp_path / "slice", {"python": python, "settings": SETTINGS}
    mirror = os.environ[download.MIRRORS]
    monkeypatch.setenv(download.MIRRORS, json.dumps({HOST: "http://127.0.0.1:9/"}))
    with pytest.raises(FetchError, match=r"only 0 of 12 pictures .*refused.*min_success") as caught:
        download_slice(pairs, folder, number=1, slices=3, **settings)
    assert "\n" not in str(caught.value) and not (folder / "index.json").exists()
    monkeypatch.setenv(download.MIRRORS, mirror)
    assert download_slice(pairs, folder, number=1, slices=3, **settings)["pairs"] > 0


def test_a_second_download_into_a_folder_is_refused(pairs, python, tmp_path, monkeypatch):
    monkeypatch.setattr("clip_mamba.data.yfcc_download.PATIENCE", 0.2)
    settings = {"python": python, "settings": SETTINGS, "number": 0, "slices": 1}
    with (
        img2dataset.locked(tmp_path / "s" / ".lock"),
        pytest.raises(FetchError, match="another download into .* is still running"),
    ):
        download_slice(pairs, tmp_path / "s", **settings)


def test_reasons_are_summed_up_and_none_is_lost():
    message = "OpenCV(4.14.0) /io/loadsave.cpp:80: error: pixels <= CV_IO_MAX_IMAGE_PIXELS in f"
    shards = [
        {"count": 9, "status_dict": {"success": 4, "<urlopen error timed out>": 2, message: 1}},
        {"count": 60, "status_dict": {"success": 1} | {f"odd {i}": 2 for i in range(29)}},
    ]
    found = failures(shards)
    assert sum(found.values()) == 69 - 5
    assert found["not downloaded: timed out"] == 2
    assert found["not downloaded: lost by img2dataset"] == 3
    assert found["not downloaded: other"] > 20


def test_a_failing_img2dataset_is_reported(tmp_path, capsys):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho something went wrong >&2\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(FetchError, match="img2dataset ended with status 3"):
        img2dataset.run(fake, {"url_list": "x"}, max_pixels=1)
    assert "something went wrong" in capsys.readouterr().out


def test_the_environment_is_apart_and_pinned(python):
    pins = [line for line in img2dataset.REQUIREMENTS.read_text().splitlines() if "==" in line]
    assert "img2dataset==1.47.0" in pins
    assert python.parent.parent.joinpath(img2dataset.MARK).exists()
