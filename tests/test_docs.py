"""Links, paths and commands in the documents are those of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md"]
PAGES += [ROOT / "results/README.md"]


def anchors(page):
    """Return the anchors that GitHub gives to a page's headings."""
    heads = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_targets_that_commands_name_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^(?:    |\$ )?(make [a-z]+)", page.read_text(), re.MULTILINE):
        assert f"\n{command.split()[1]}:" in makefile, command
    for script in re.findall(r"\b(benchmarks/\w+\.py|envs/[\w.-]+\w)", page.read_text()):
        assert (ROOT / script).exists(), script


def test_no_page_names_a_registrys_host():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    hosts = re.compile(r"https?://(?:pypi\.org|registry\.npmjs\.org|deb\.debian\.org)")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".md", ".py", ".yaml", ".txt", ".toml", ".smk", ".sh"} and path.exists():
            if path == Path(__file__):
                continue
            assert not hosts.search(path.read_text()), name
