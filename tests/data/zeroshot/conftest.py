import json

import pytest

from clip_mamba.data.checksums import VARIABLE
from clip_mamba.data.download import MIRRORS
from clip_mamba.data.zeroshot_sets.prompts import fetch_prompts
from tests.data.zeroshot.miniatures import Site, put_prompts
from tests.http_server import serve


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    with serve(folder) as running:
        running.folder = folder
        yield running


@pytest.fixture
def web(server, tmp_path, monkeypatch):
    """A site on the loopback that every https address leads to, with SLIP's files on it."""
    site = Site(server.folder / tmp_path.name, server)
    put_prompts(site)
    monkeypatch.setenv(MIRRORS, json.dumps({"https://": f"{server.url}/{tmp_path.name}/"}))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "checksums.tsv"))
    return site


@pytest.fixture
def prompts(web, tmp_path):
    fetch_prompts(tmp_path / "slip")
    return tmp_path / "slip"
