"""`--software-deployment-method conda`, with a stand-in for conda: no channel is reachable here.

It makes environments whose `python` is this one, and notes what it is asked. Thus Snakemake reads
envs/*.yaml, runs the post-deploy scripts and starts jobs as it does with conda; that the channel
holds the packages, and that the kernels compile, no test here can say.
"""

import os
import subprocess
import sys

import pytest

from tests.workflow.conftest import copy_project

CONDA = """#!/bin/bash
echo "conda $@" >> {notes}
case $1 in
  info) echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
  --version) echo conda 25.9.1 ;;
  config) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  env)
    while [ $# -gt 0 ]; do
      case $1 in --file) file=$2 ;; --prefix) prefix=$2 ;; esac
      shift
    done
    mkdir -p "$prefix/bin" && cp "$file" "$prefix/environment.yaml"
    cp {base}/python "$prefix/bin/python" ;;
esac
"""
ACTIVATE = "export CONDA_PREFIX=$1 PATH=$1/bin:$PATH\n"
# What the post-deploy scripts ask of it needs packages that are not here.
PYTHON = """#!/bin/bash
echo "$(head -n 1 "${{0%/bin/python}}/environment.yaml") python $@" >> {notes}
case "$*" in "-m pip "*|*_cuda*) ;; *) exec {python} "$@" ;; esac
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory):
    """A clone, and a function that runs Snakemake in it with conda; it returns the notes."""
    clone = copy_project(tmp_path_factory.mktemp("conda") / "clip-mamba")
    base = clone.parent / "base"
    (base / "bin").mkdir(parents=True)
    words = {"base": base, "notes": base / "notes", "python": sys.executable}
    for name, text in (("bin/conda", CONDA), ("python", PYTHON)):
        (base / name).write_text(text.format(**words))
        (base / name).chmod(0o755)
    (base / "bin/activate").write_text(ACTIVATE)
    environment = {**os.environ, "PATH": f"{base / 'bin'}:{os.environ['PATH']}"}
    environment.pop("CUDA_HOME", None)

    def run(*arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        command += ["--software-deployment-method", "conda"]
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return (base / "notes").read_text()

    run.clone = clone
    return run


def test_all_environments_are_made_and_the_kernels_built_in_those_of_models(conda):
    notes = conda("--conda-create-envs-only")
    assert notes.count("conda env create") == 3
    for head in ("# Pretraining on GPUs.", "# Data, evaluation and Hessian."):
        assert (
            f"{head} python -m pip install --no-build-isolation --constraint requirements.txt"
            in notes
        )
        assert f"{head} python -c import torch, selective_scan_cuda" in notes
    assert "# Tables, figures and the report. python -m pip" not in notes


def test_a_job_runs_in_the_environment_of_its_rule(conda):
    notes = conda("results/demo/data/zeroshot/mnist")
    assert (conda.clone / "results/demo/data/zeroshot/mnist").is_dir()
    assert "# Data, evaluation and Hessian. python " in notes
    assert "build_mnist.py" in notes
