"""A run that was killed in the middle of pretraining goes on from its last checkpoint."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.workflow.conftest import MINIATURE, copy_project

WEIGHTS = "results/demo/weights/VMamba-Test-0.safetensors"
LONGER = """
scales: {demo: {models: [VMamba-Test], training: {checkpoint_seconds: 0.2}}}
recipes: {miniature: {settings: {epochs: 60}}}
"""


@pytest.mark.timeout(300)
def test_a_killed_workflow_resumes(tmp_path):
    project = copy_project(tmp_path / "clip-mamba")
    longer = project / "longer.yaml"
    longer.write_text(LONGER)
    configuration = ["--configfile", "config.yaml", MINIATURE, "longer.yaml"]
    command = [sys.executable, "-m", "snakemake", WEIGHTS, "--cores", "2", *configuration]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=project, env=environment, start_new_session=True)
    checkpoints = project / "results/demo/pretrain/VMamba-Test-0"
    deadline = time.monotonic() + 200
    while len(list(checkpoints.glob("step=*.ckpt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (project / WEIGHTS).exists()
    assert any((project / ".snakemake/locks").iterdir())

    freed = subprocess.run(
        [sys.executable, "-m", "workflow.clear_stale_lock"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "freeing the lock" in freed.stdout
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "continuing from" in done.stdout + done.stderr
    assert (project / WEIGHTS).exists()
