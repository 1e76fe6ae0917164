#!/usr/bin/env bash
# Compile paper/report.tex: with latexmk where LaTeX is complete, otherwise with Tectonic, the LaTeX
# of envs/paper.yaml. That is one program, which gets the packages that it needs (some 10 MB) from the
# internet when it first needs them, and keeps them in ~/.cache or in $TECTONIC_CACHE_DIR.
set -euo pipefail
cd "$(dirname "$0")/../paper"
if ../envs/ensure_latex.sh --check; then
  exec latexmk -pdf -interaction=nonstopmode -halt-on-error report.tex
elif command -v tectonic; then
  exec tectonic -X compile --keep-logs report.tex
fi
echo "LaTeX is missing, or packages of it. Any of these will do, then start again:" >&2
echo "  module load texlive   (on a cluster; whatever its name is there)" >&2
echo "  envs/ensure_latex.sh   (Debian and Ubuntu)" >&2
echo "  conda install -c conda-forge tectonic   (or --software-deployment-method conda)" >&2
exit 1
