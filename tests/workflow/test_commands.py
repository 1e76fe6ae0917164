"""Every snakemake command of the pages can be planned as it is printed, in a fresh clone."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.workflow.conftest import ROOT, copy_project

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
COMMAND = re.compile(r"^ *(?:\$ )?(?:\.venv/bin/)?snakemake +(.*?)(?: +#.*)?$", re.MULTILINE)
#: What asks for a finished or a running study.
NOT_PLANS = {"--report", "--summary", "--unlock", "--touch", "--lint"}
LINES = sorted({
    line
    for page in PAGES
    for line in COMMAND.findall(page.read_text())
    if not NOT_PLANS & set(line.split())
})


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone without results, whose example of own shards names files that exist."""
    folder = copy_project(tmp_path_factory.mktemp("commands") / "clip-mamba")
    shutil.rmtree(folder / "results", ignore_errors=True)
    for name in ("my-task/one", "my-task/two"):
        (folder / "data" / name).mkdir(parents=True)
    (folder / "data/mine").mkdir()
    (folder / "data/mine/0.tar").touch()
    example = folder / "docs/own_shards.yaml"
    example.write_text(example.read_text().replace("/data/m", f"{folder}/data/m"))
    return folder


def test_there_are_commands_on_the_pages():
    assert len(LINES) > 15
    assert all("--cores" in line for line in LINES)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("line", LINES)
def test_a_command_is_planned(clone, line):
    # By a shell, as a reader would.
    command = f"{shlex.quote(sys.executable)} -m snakemake -n {line}"
    words = ["bash", "-c", command]
    done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^total +\d+$", done.stdout, re.MULTILINE), done.stdout[-2000:]
