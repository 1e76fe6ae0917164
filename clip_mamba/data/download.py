"""Downloads over HTTP: resumable, atomic, checked.

Packages of the registries come through their own clients instead: see :mod:`.fetch`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from clip_mamba.data.checksums import ChecksumMismatch, verify
from clip_mamba.data.fetch import REMEDY, FetchError

#: Names the environment variable with a JSON object: URL prefix -> replacement.
MIRRORS = "CLIP_MAMBA_MIRRORS"
ATTEMPTS = 4
TIMEOUT = (20, 60)  # seconds to connect, and between two packets
BLOCK = 1 << 20


def mirrored(url: str) -> str:
    """Apply the mirrors of the environment to a URL.

    Args:
        url: The original address.

    Returns:
        The address to ask: the longest matching prefix is replaced.
    """
    mirrors: dict[str, str] = json.loads(os.environ.get(MIRRORS) or "{}")
    for prefix in sorted(mirrors, key=len, reverse=True):
        if url.startswith(prefix):
            return mirrors[prefix] + url.removeprefix(prefix)
    return url


def download(url: str, target: str | Path) -> Path:
    """Download a file, or the rest of one whose download was cut off.

    The unfinished file is kept beside the target as ``<name>.part``. The whole file is compared
    with ``data/checksums.tsv``, where it is recorded if it is used for the first time.

    Args:
        url: The address; a mirror of the environment may stand in for it.
        target: Where the file goes. It appears only once it is whole and checked.

    Returns:
        The target.

    Raises:
        FetchError: If the server cannot be reached, answers with an error or cuts off again and
            again, or if the file is not the recorded one, which is then deleted.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _transfer(url, part)
    try:
        verify(url, part)
    except ChecksumMismatch as error:
        part.unlink()
        raise FetchError(str(error)) from None
    os.replace(part, target)
    return target


def exists(url: str) -> bool:
    """Tell whether a server has a file.

    Args:
        url: The address; a mirror of the environment may stand in for it.

    Returns:
        False if the server says that there is none.

    Raises:
        FetchError: If the server cannot be reached or answers with another error.
    """
    try:
        answer = requests.head(mirrored(url), timeout=TIMEOUT, allow_redirects=True)
    except requests.RequestException as error:
        raise FetchError(f"{url} could not be reached: {_cause(error)}. {REMEDY}") from error
    if answer.status_code >= 400 and answer.status_code not in {404, 410}:
        raise FetchError(f"{url}: the server answered {answer.status_code} {answer.reason}.")
    return answer.ok


def fetch_json(url: str) -> Any:
    """Ask a server for a JSON document, which is not kept.

    Args:
        url: The address; a mirror of the environment may stand in for it.

    Returns:
        What the document holds.

    Raises:
        FetchError: If the server cannot be reached, or answers with an error or no JSON.
    """
    try:
        answer = requests.get(mirrored(url), timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()
    except requests.RequestException as error:
        raise FetchError(f"{url} could not be fetched: {_cause(error)}. {REMEDY}") from error


def _transfer(url: str, part: Path) -> None:
    # Bring the part to its full length, trying again where it was cut off.
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(url, part)
            return
        except requests.RequestException as error:
            if attempt == ATTEMPTS:
                raise FetchError(
                    f"{url} could not be fetched: {_cause(error)}. {REMEDY}"
                ) from error
            time.sleep(0.2 * 5 ** (attempt - 1))


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    # Compressed transfer would make lengths and ranges those of other bytes than the file's.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(mirrored(url), headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416 and _total(answer) == have:
            return  # the file was whole when the last attempt ended
        if answer.status_code == 416:
            part.unlink()
            raise requests.ConnectionError("the server has less than was fetched before")
        if 400 <= answer.status_code < 500:
            raise FetchError(f"{url}: the server answered {answer.status_code} {answer.reason}.")
        answer.raise_for_status()
        append = answer.status_code == 206
        _store(answer, part, have if append else 0)


def _store(answer: requests.Response, part: Path, have: int) -> None:
    length = answer.headers.get("Content-Length")
    whole = have + int(length) if length else None
    with (
        open(part, "ab" if have else "wb") as file,
        tqdm(total=whole, initial=have, unit="B", unit_scale=True, desc=part.stem, delay=5) as bar,
    ):
        for block in answer.iter_content(BLOCK):
            file.write(block)
            bar.update(len(block))
    if whole is not None and part.stat().st_size != whole:
        raise requests.ConnectionError(f"cut off at {part.stat().st_size} of {whole} bytes")


def _total(answer: requests.Response) -> int | None:
    """Return the length in ``Content-Range: bytes */length``."""
    length = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(length) if length.isdigit() else None


def _cause(error: BaseException) -> str:
    """Return the innermost reason, without requests' and urllib3's wrapping."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return str(reason or error).rstrip(".").rpartition(": ")[2] or type(error).__name__
