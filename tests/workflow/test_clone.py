"""A clone whose environment lies elsewhere, behind a link, is clean, and tests can copy it."""

import shutil
import subprocess

from tests.workflow import conftest


def test_a_linked_environment_is_no_part_of_the_clone(tmp_path, monkeypatch):
    clone, elsewhere = tmp_path / "clone", tmp_path / "scratch"
    clone.mkdir()
    elsewhere.mkdir()
    shutil.copy(conftest.ROOT / ".gitignore", clone)
    (clone / "with space.txt").touch()
    (clone / "linked").symlink_to(elsewhere)
    (clone / ".venv").symlink_to(elsewhere)
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    listed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert ".venv" not in listed.stdout and "linked" in listed.stdout
    monkeypatch.setattr(conftest, "ROOT", clone)
    copied = conftest.copy_project(tmp_path / "copy")
    assert sorted(path.name for path in copied.iterdir()) == [".gitignore", "with space.txt"]
