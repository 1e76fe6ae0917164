"""The environments for clusters pin what the tests run with."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
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


def scripts():
    """The scripts of the rules, each with the environments that its rule names."""
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^ *rule\b", path.read_text(), flags=re.MULTILINE):
            if script := re.search(r'"\.\./scripts/(\w+\.py)"', rule):
                yield script[1], re.findall(r'conda:\s+"\.\./\.\./envs/(\w+)\.yaml"', rule)


def test_every_script_of_a_rule_has_an_environment():
    named = list(scripts())
    assert len(named) > 40
    assert not [script for script, environments in named if len(environments) != 1]


def with_dependencies(packages):
    """Packages and what they need, as it is installed here."""
    needs = {
        normal(each.metadata["Name"]): {
            normal(re.match(r"[\w.-]+", line)[0])
            for line in each.requires or []
            if "extra ==" not in line
        }
        for each in metadata.distributions()
    }
    found, waiting = set(), set(packages)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= needs.get(name, set()) - found
    return found


def test_what_makes_tables_figures_and_report_needs_no_more_than_its_environment():
    """The scripts' imports are made where every other package is hidden."""
    there = with_dependencies(environment(ROOT / "envs/paper.yaml")[1])
    hidden = [
        module
        for module, owners in metadata.packages_distributions().items()
        if there.isdisjoint(map(normal, owners)) and module.isidentifier()
    ]
    assert "sklearn" in hidden and "numpy" not in hidden
    imports = [
        line
        for script, environments in scripts()
        if environments == ["paper"]
        for line in (ROOT / "workflow/scripts" / script).read_text().splitlines()
        if line.startswith("from clip_mamba")
    ]
    assert len(imports) >= 5
    program = ["import sys", f"sys.modules.update(dict.fromkeys({hidden}))", *imports]
    command = [sys.executable, "-c", "\n".join(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]


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
