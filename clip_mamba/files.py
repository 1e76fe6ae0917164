"""Atomic writes and checksums."""

import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | Path) -> Generator[Path, None, None]:
    """Yield a temporary path beside ``path`` that replaces it only if the block succeeds.

    A reader therefore sees the old file or the whole new one, and a killed writer leaves
    at worst a hidden temporary file, never a truncated target.

    Args:
        path: The file to write. Missing parent folders are created.

    Yields:
        A path in the same folder, with the same suffix, to write to.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix
    )
    os.close(handle)
    # mkstemp makes private files; results are meant to be read by others on a shared disk.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    try:
        yield Path(name)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks.

    Args:
        path: The file to read.

    Returns:
        64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
