import hashlib
import json
import socket
import tarfile
import threading
import zipfile

import pytest

from clip_mamba.data import download as module
from clip_mamba.data.archives import UnsafeArchive, unpack
from clip_mamba.data.checksums import read_checksums
from clip_mamba.data.download import download, exists
from clip_mamba.data.fetch import FetchError
from tests.http_server import serve

URL = "https://example.org/set/file.bin"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "served/set").mkdir(parents=True)
    (tmp_path / "served/set/file.bin").write_bytes(CONTENT)
    monkeypatch.setenv("CLIP_MAMBA_CHECKSUMS", str(tmp_path / "checksums.tsv"))
    monkeypatch.setattr(module, "TIMEOUT", (2, 2))
    with serve(tmp_path / "served") as server:
        monkeypatch.setenv("CLIP_MAMBA_MIRRORS", json.dumps({"https://example.org": server.url}))
        yield server


def test_first_use_is_recorded_under_the_original_address(server, tmp_path):
    assert download(URL, tmp_path / "got/file.bin").read_bytes() == CONTENT
    row = read_checksums()[URL]
    assert (row.bytes, row.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["file.bin"]


def test_second_use_is_enforced_and_shows_both(server, tmp_path):
    download(URL, tmp_path / "file.bin")
    changed = CONTENT[:-1] + b"x"
    (tmp_path / "served/set/file.bin").write_bytes(changed)
    with pytest.raises(FetchError, match="refused") as caught:
        download(URL, tmp_path / "again.bin")
    for content in (CONTENT, changed):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert not (tmp_path / "again.bin").exists() and not (tmp_path / "again.bin.part").exists()


def test_an_answer_that_is_cut_off_is_taken_up_where_it_ended(server, tmp_path):
    server.cuts["set/file.bin"] = 1000
    assert download(URL, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests["set/file.bin"] == 2


def test_a_part_of_an_earlier_run_is_completed(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5000])
    assert download(URL, tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_was_already_whole_is_accepted(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(URL, tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_missing_file_is_one_clear_line(server, tmp_path):
    with pytest.raises(FetchError, match=r"no\.bin: the server answered 404") as caught:
        download("https://example.org/set/no.bin", tmp_path / "no.bin")
    assert "\n" not in str(caught.value) and not list(tmp_path.glob("no.bin*"))
    assert exists(URL) and not exists("https://example.org/set/no.bin")


def test_no_server_is_one_clear_line(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    with pytest.raises(FetchError, match=r"could not be fetched: .*refused.*again") as caught:
        download(url, tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_downloads_at_the_same_time_lose_no_row(server, tmp_path):
    for number in range(8):
        (tmp_path / f"served/set/{number}.bin").write_bytes(bytes([number]))
    threads = [
        threading.Thread(
            target=download, args=(f"https://example.org/set/{n}.bin", tmp_path / f"{n}.bin")
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_checksums()) == 8


@pytest.mark.parametrize("name", ["../evil", "folder/../../evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_outside_the_folder_is_refused(tmp_path, name, kind):
    archive = tmp_path / f"a.{kind}"
    if kind == "tar":
        (tmp_path / "x").write_text("x")
        with tarfile.open(archive, "w") as tar:
            tar.add(tmp_path / "x", arcname=name)
    else:
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(name, "x")
    with pytest.raises(UnsafeArchive, match="evil"):
        unpack(archive, tmp_path / "inner/out")
    assert not list(tmp_path.rglob("evil"))


def test_a_link_outside_is_refused_and_a_truncated_archive_named(tmp_path):
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        link = tarfile.TarInfo("shortcut")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(UnsafeArchive, match="shortcut"):
        unpack(tmp_path / "link.tar", tmp_path / "out")
    (tmp_path / "cut.tgz").write_bytes(b"\x1f\x8b\x08cut")
    with pytest.raises(UnsafeArchive, match=r"cut\.tgz is damaged"):
        unpack(tmp_path / "cut.tgz", tmp_path / "out")


def test_good_archives_are_unpacked(tmp_path):
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        tar.add(tmp_path / "x", arcname="inner/x")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("inner/x", "x")
    for name in ("a.tgz", "a.zip"):
        folder = unpack(tmp_path / name, tmp_path / f"out-{name}")
        assert (folder / "inner/x").read_text() == "x"
