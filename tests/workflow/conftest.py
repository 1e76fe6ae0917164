"""A clean copy of the project in which a test may run the whole workflow."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINIATURE = "tests/workflow/miniature.yaml"


def copy_project(target: Path) -> Path:
    """Copy what a clone would hold, and the downloads that are at hand."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        # Not what was deleted, and no link to a folder.
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for archive in (ROOT / "results/demo/data/raw").glob("*-*"):
        place = target / archive.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(archive, place)
    return target


def digests() -> dict[str, list[str]]:
    """Return what rules ask the digest of, by their script."""
    found = {}
    digest = r'\bcode=code(_of_model)?\(([^)]*)\),\n +script:\n +"../scripts/(\w+).py"'
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for model, names, script in re.findall(digest, path.read_text()):
            built = ["clip_mamba.models"] if model else []
            found[script] = [*re.findall(r'"([\w.]+)"', names), *built]
    return found


def snakemake(
    folder: Path,
    *arguments: str,
    config: str | list[str] | None = MINIATURE,
    environment: dict[str, str] | None = None,
):
    """Run Snakemake in a copy of the project, with overrides of its configuration."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
    if config:
        overrides = [config] if isinstance(config, str) else config
        command += ["--configfile", "config.yaml", *overrides]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("project") / "clip-mamba")
