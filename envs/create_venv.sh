#!/usr/bin/env bash
# Make .venv with the versions of requirements.txt.
set -euo pipefail
python=${1:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "clip-mamba needs Python 3.11 or newer; $("$python" --version) was found." >&2
  echo "Name another with: make report PYTHON=python3.11" >&2
  exit 1
}
"$python" -c 'import ensurepip' 2> /dev/null || {
  echo "Python's venv module is incomplete. On Debian: sudo apt-get install python3-venv" >&2
  exit 1
}
echo "Installing the pinned Python packages of requirements.txt into .venv (about 6 GB, most of it torch) ..."
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
