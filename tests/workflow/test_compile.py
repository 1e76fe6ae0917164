"""The report is compiled with the LaTeX that there is; stand-ins say who was called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATEX = ("latexmk", "pdflatex", "kpsewhich")


@pytest.fixture
def compile_report(tmp_path):
    """Compile in a copy where only some programs exist."""
    programs = tmp_path / "bin"
    for folder in ("bin", "paper", "envs"):
        (tmp_path / folder).mkdir()
    for name in ("compile_report.sh", "ensure_latex.sh"):
        shutil.copy2(ROOT / "envs" / name, tmp_path / "envs")
    for name in ("bash", "dirname"):
        (programs / name).symlink_to(shutil.which(name))

    def run(*installed):
        for name in installed:
            (programs / name).write_text(f'#!/bin/bash\necho "{name} $@ in ${{PWD##*/}}"\n')
            (programs / name).chmod(0o755)
        environment = {**os.environ, "PATH": str(programs)}
        return subprocess.run(
            ["envs/compile_report.sh"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_complete_latex_is_used(compile_report):
    done = compile_report(*LATEX, "tectonic")
    assert done.returncode == 0
    assert done.stdout == (
        "latexmk -pdf -interaction=nonstopmode -halt-on-error report.tex in paper\n"
    )


def test_tectonic_takes_the_place_of_a_latex_that_lacks_packages(compile_report, tmp_path):
    compile_report(*LATEX, "tectonic")
    (tmp_path / "bin/kpsewhich").write_text('#!/bin/bash\n[ "$1" != natbib.sty ]\n')
    done = compile_report()
    assert done.returncode == 0
    assert done.stdout.endswith("tectonic -X compile --keep-logs report.tex in paper\n")


def test_tectonic_suffices(compile_report):
    done = compile_report("tectonic")
    assert done.returncode == 0
    assert done.stdout.endswith("tectonic -X compile --keep-logs report.tex in paper\n")


def test_without_either_it_says_what_to_install(compile_report):
    done = compile_report()
    assert done.returncode == 1
    assert "module load texlive" in done.stderr
    assert "conda install -c conda-forge tectonic" in done.stderr


def test_every_package_of_the_report_is_looked_for():
    """The check of LaTeX knows what goes beyond its base."""
    preamble = (ROOT / "paper/report.tex.j2").read_text()
    base = {"amsmath", "array", "fontenc", "geometry", "graphicx", "hyperref", "inputenc"}
    base |= {"longtable"}
    script = (ROOT / "envs/ensure_latex.sh").read_text()
    looked_for = set(script.split("for style in ")[1].split(";")[0].split())
    assert used(preamble) - base <= looked_for


def used(text):
    """Names of the packages that a preamble loads."""
    lines = [line for line in text.splitlines() if line.startswith("\\usepackage")]
    return {name for line in lines for name in line.rsplit("{", 1)[1].rstrip("}").split(",")}
