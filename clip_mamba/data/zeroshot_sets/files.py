"""Downloads of a task, and the list of them that says they are complete."""

import fcntl
import json
from collections.abc import Iterable
from pathlib import Path

from clip_mamba.data.checksums import ChecksumMismatch, verify
from clip_mamba.data.download import download
from clip_mamba.files import atomic_write


def obtain(url: str, target: str | Path) -> Path:
    """Download a file unless an earlier attempt already did.

    A job that wants the same file meanwhile (training and test split may share one) waits.

    Args:
        url: Its address.
        target: Where it goes.

    Returns:
        The target, checked.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            try:
                verify(url, target)
                return target
            except ChecksumMismatch:
                target.unlink()  # an older version, or damaged on the disk: fetch it anew
        return download(url, target)


def write_manifest(path: str | Path, files: Iterable[Path]) -> None:
    """List what was downloaded, last of all.

    Args:
        path: The list.
        files: Files beside it or below.
    """
    path = Path(path)
    names = {str(file.relative_to(path.parent)): file.stat().st_size for file in files}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(names, indent=1) + "\n")


def check_manifest(path: str | Path) -> Path:
    """Make sure that every listed download is there.

    Args:
        path: The list.

    Returns:
        The folder of the downloads.

    Raises:
        ValueError: If one is missing or has another size.
    """
    path = Path(path)
    for name, size in json.loads(path.read_text()).items():
        file = path.parent / name
        if not file.exists() or file.stat().st_size != size:
            raise ValueError(f"{file} is missing or altered. Delete {path} and run again.")
    return path.parent
