"""The environments for clusters pin what the tests run with."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
SECTION = "# What the code imports or calls"


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    found = dict(line.split("==") for line in lines if "==" in line)
    return {normal(name): version for name, version in found.items()}


def required():
    """The pins of requirements.txt, and of them those that the code imports itself."""
    text = (ROOT / "requirements.txt").read_text()
    section = text[text.index(SECTION) :].split("\n\n")[0]
    return pins(text.splitlines()), pins(section.splitlines())


def environment(path):
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    (pip,) = [part["pip"] for part in dependencies if isinstance(part, dict)]
    return [part for part in dependencies if isinstance(part, str)], pins(pip)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_requirements(path):
    everything, _ = required()
    _, pip = environment(path)
    assert pip == {name: everything.get(name) for name in pip}


@pytest.mark.parametrize("name", ["train", "eval"])
def test_nothing_that_the_code_imports_is_missing(name):
    _, direct = required()
    _, pip = environment(ROOT / "envs" / f"{name}.yaml")
    missing = [f"{package}=={version}" for package, version in direct.items() if package not in pip]
    assert not missing, f"add to envs/{name}.yaml: {', '.join(missing)}"


def test_every_dependency_of_the_project_is_pinned():
    everything, _ = required()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["cluster"]
    assert {normal(re.split(r"[<>=!~ ]", name)[0]) for name in wanted} <= set(everything)


@pytest.mark.parametrize("name", ["train", "eval"])
def test_kernels_are_built_with_the_cuda_of_the_pinned_torch(name):
    conda, _ = environment(ROOT / "envs" / f"{name}.yaml")
    if torch.version.cuda is None:
        pytest.skip("this torch was built without CUDA")
    assert f"cuda-version ={torch.version.cuda}" in conda
    script = (ROOT / "envs" / f"{name}.post-deploy.sh").read_text()
    kernels = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]["cuda"]
    assert all(f"{kernel}==" in script for kernel in kernels)


def test_python_is_one_that_the_project_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    for path in ENVIRONMENTS:
        (python,) = [part for part in environment(path)[0] if part.startswith("python ")]
        assert tuple(map(int, python.split("=")[1].split("."))) >= oldest
