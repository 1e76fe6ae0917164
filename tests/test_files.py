import hashlib

import pytest

from clip_mamba.files import atomic_write, sha256


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_successful_write_replaces_the_file(tmp_path):
    target = tmp_path / "new" / "result.json"
    with atomic_write(target) as temporary:
        assert temporary.suffix == ".json"
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["result.json"]


def test_sha256(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
