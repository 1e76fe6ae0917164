"""Copy what a job prints to its log file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO


class _Tee:
    """A text stream that writes to two others."""

    def __init__(self, screen: TextIO, file: TextIO) -> None:
        self.screen, self.file = screen, file

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.screen.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.screen.flush()

    def isatty(self) -> bool:
        return self.screen.isatty()

    def fileno(self) -> int:
        return self.screen.fileno()


def tee(path: str | Path) -> None:
    """Send standard output and error of this process to a log file as well.

    Args:
        path: The log file; it is replaced.
    """
    file = open(path, "w", buffering=1)  # noqa: SIM115 - open for as long as the process lives
    sys.stdout, sys.stderr = _Tee(sys.stdout, file), _Tee(sys.stderr, file)
