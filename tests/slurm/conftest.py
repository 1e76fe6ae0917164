"""A Slurm for the tests, and the literal command in a clone whose site lines are filled in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, running, unavailable

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# The literal command; then what only a test wants: an impatient look at the queue.
COMMAND = [str(Path(sys.executable).parent / "snakemake"), "--cores", "all", "--profile", "slurm"]
IMPATIENT = [
    *["--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1"],
    *["--latency-wait", "20"],
]
SITE = {
    "partition": "cpu",
    "gpu_partition": "gpu",
    "gpu_type": "a100",
    "gpus_per_node": 1,
    "cpus_per_gpu": 1,
    "mem_gb_per_gpu": 4,
    "pretraining_hours": 1,
}


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what needs a Slurm where none can be started (.ci/run insists)."""
    reason = unavailable(accounting=True)
    if "CLIP_MAMBA_REQUIRE_SLURM" in os.environ:
        reason = None
    for item in items:
        if reason and "slurm" in item.keywords and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


def fill_in(profile: Path, **site: object) -> None:
    """Edit the site lines of the profile, as docs/cluster.md tells a user to."""
    text = profile.read_text()
    for key, value in site.items():
        text, count = re.subn(rf"(?m)^(  {key}: +)\S+", rf"\g<1>{value}", text)
        assert count == 1, f"{profile} has no line {key}"
    profile.write_text(text)


def toy_clone(folder: Path) -> Path:
    """A clone whose rules have the accidents of a cluster; profile and hooks are the real ones."""
    for name in ("slurm", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(HERE / "accidents.smk", folder / "Snakefile")
    (folder / "config.yaml").write_text("scale: demo\ndownloads: {where: here}\n")
    fill_in(folder / "slurm/config.yaml", **SITE)
    return folder


def start(slurm: Cluster, folder: Path, *arguments: str) -> subprocess.Popen:
    """Start the literal command; standard error goes to a file beside the clone."""
    output = folder.with_suffix(".txt").open("a")
    process = subprocess.Popen(
        [*COMMAND, *IMPATIENT, *arguments],
        cwd=folder,
        env=slurm.environment,
        stdout=output,
        stderr=output,
    )
    slurm.guests.append(process)
    return process


def said(folder: Path) -> str:
    """Return what the commands in a clone have printed."""
    return folder.with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def slurm():
    """A cluster without accounting."""
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def accounted():
    """A cluster with accounting, that remembers all jobs of a test."""
    with running(accounting=True, min_job_age=1800) as cluster:
        yield cluster
