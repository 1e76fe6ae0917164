"""img2dataset's environment, made once and kept for later runs."""

from pathlib import Path

from clip_mamba.data.img2dataset import create_environment

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "environments" / "img2dataset"


def download_python() -> Path:
    """Return its interpreter; the first call of all takes about 20 s."""
    return create_environment(FOLDER)
