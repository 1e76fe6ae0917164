#!/usr/bin/env bash
# The report needs LaTeX, and the tests read its PDF with poppler's tools. Install them from
# Debian's packages where that is possible, otherwise stop before any work and say what to run.
# Usage: envs/ensure_latex.sh [further commands that must exist]
#        envs/ensure_latex.sh --check   (install and say nothing; exit with 1 if something is missing)
set -euo pipefail
packages=(latexmk texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended lmodern poppler-utils)
check=
[ "${1-}" != --check ] || { check=yes && shift; }
needed=(latexmk pdflatex kpsewhich "$@")

complete() {
  local program style
  for program in "${needed[@]}"; do
    command -v "$program" > /dev/null || return 1
  done
  for style in adjustbox booktabs caption float lmodern microtype natbib placeins threeparttable xcolor xurl; do
    kpsewhich "$style.sty" > /dev/null || return 1
  done
}

complete && exit 0
[ -z "$check" ] || exit 1
if ! command -v apt-get > /dev/null; then
  echo "LaTeX is missing. Install TeX Live with latexmk from https://tug.org/texlive, then run this again." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "LaTeX is missing. Run this once, then start again:" >&2
  echo "  sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi
echo "LaTeX is missing: installing ${packages[*]} from Debian (about 110 MB, a minute) ..."
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } > "$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "LaTeX could not be installed; the whole output is in $log" >&2
  exit 1
fi
rm -f "$log"
complete || { echo "LaTeX is installed but incomplete: check ${packages[*]}" >&2; exit 1; }
