"""Run img2dataset, in the environment of its own that its pins ask for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip_mamba.data.fetch import REMEDY, FetchError
from clip_mamba.files import atomic_write

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-download.txt"
#: Written into an environment that is whole: the checksum of the requirements it was made from.
MARK = "installed"
#: img2dataset imports imghdr, which Python 3.13 no longer has.
NEWEST_PYTHON = (3, 12)


def create_environment(folder: str | Path, python: str = sys.executable) -> Path:
    """Make the virtual environment of ``requirements-download.txt``, unless it is there.

    Args:
        folder: Where it goes. Processes that ask at the same time wait for each other.
        python: The interpreter to make it from.

    Returns:
        Its interpreter.

    Raises:
        FetchError: If the packages cannot be installed or Python is too new for img2dataset.
    """
    folder = Path(folder).absolute()
    interpreter, mark = folder / "bin" / "python", folder / MARK
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    with locked(folder.with_name(f".{folder.name}.lock")):
        if mark.exists() and mark.read_text() == wanted:
            return interpreter
        if sys.version_info[:2] > NEWEST_PYTHON:
            raise FetchError(
                f"img2dataset needs Python 3.{NEWEST_PYTHON[1]} or older, this is "
                f"{sys.version.split()[0]}. Run the workflow with Python 3.11 or 3.12."
            )
        print(f"Installing img2dataset into {folder} (about 0.8 GB), apart from .venv ...")
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in (
            [python, "-m", "venv", "--clear", str(folder)],
            [*pip, "--requirement", str(REQUIREMENTS)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise FetchError(f"img2dataset was not installed: {' '.join(reason)} {REMEDY}")
        mark.write_text(wanted)
    return interpreter


@contextmanager
def locked(path: Path, patience: float = math.inf) -> Generator[int, None, None]:
    """Hold a lock that ends with the last process that has it open.

    Args:
        path: The lock file; its folder is made.
        patience: Seconds to wait for another holder.

    Yields:
        The descriptor, to be handed to child processes.

    Raises:
        FetchError: If another process holds the lock for longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + patience
    try:
        while not _lock(handle):
            if time.monotonic() > deadline:
                raise FetchError(
                    f"another download into {path.parent} is still running. End it, or wait for it."
                )
            time.sleep(0.1)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run(
    python: str | Path, options: Mapping[str, Any], *, max_pixels: int, lock: int | None = None
) -> None:
    """Run img2dataset and pass on what it prints.

    Args:
        python: The interpreter of its environment.
        options: Its options; lists are written as JSON.
        max_pixels: Larger pictures are not decoded.
        lock: A descriptor that it keeps open for as long as it lives.

    Raises:
        FetchError: If it fails.
    """
    command = [str(python), "-c", "from img2dataset.main import main; main()"]
    for name, value in options.items():
        shown = json.dumps(value) if isinstance(value, list) else str(value)
        command.append(f"--{name}={shown}")
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {
        "NO_ALBUMENTATIONS_UPDATE": "1",  # it would ask the network for its newest version
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(max_pixels),
        "PYTHONUNBUFFERED": "1",
        "WANDB_MODE": "disabled",
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        pass_fds=[] if lock is None else [lock],
    )
    try:
        for line in process.stdout or []:
            print(line, end="")
        code = process.wait()
    finally:
        process.kill()
        process.wait()
    if code:
        raise FetchError(f"img2dataset ended with status {code}; see its messages above.")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically.

    Args:
        path: The file.
        value: What it will hold.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
