"""Finished pieces of a long measurement, kept so that a killed job goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from clip_mamba.files import atomic_write

Piece = dict[str, Any]


class Parts:
    """JSON files in a folder, each the raw result of one piece of work."""

    def __init__(self, folder: str | Path | None, depends_on: Mapping[str, Any]) -> None:
        """Open the folder.

        Args:
            folder: Where pieces are kept; ``None`` keeps nothing.
            depends_on: Everything that the pieces depend on (weights, batches, settings, code): a
                file that was written for something else is not used.
        """
        self.folder = None if folder is None else Path(folder)
        text = json.dumps(dict(depends_on), sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self._tensors: dict[str, Tensor] = {}

    def path(self, name: str, suffix: str = ".json") -> Path | None:
        """Return where a piece is kept.

        Args:
            name: Name of the piece.
            suffix: Of the file.

        Returns:
            The path; ``None`` where nothing is kept.
        """
        return None if self.folder is None else self.folder / f"{name}{suffix}"

    def __call__(self, name: str, compute: Callable[[], Piece]) -> Piece:
        """Return a piece, computed unless it is there already.

        Args:
            name: Name of the piece and of its file.
            compute: Makes it; plain JSON values.

        Returns:
            The piece, as it is read back from JSON.
        """
        path = self.path(name)
        if path is None:
            return json.loads(json.dumps(compute()))
        found = self._read(path)
        if found is None:
            content = {"fingerprint": self.fingerprint, "piece": compute()}
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(content) + "\n")
            found = json.loads(path.read_text())["piece"]
        return found

    def save_tensor(self, name: str, value: Tensor) -> None:
        """Keep a tensor that belongs to a piece; call it before the piece is finished.

        Args:
            name: Its name.
            value: The tensor.
        """
        value = value.detach().cpu().contiguous()
        path = self.path(name, ".safetensors")
        if path is None:
            self._tensors[name] = value
            return
        with atomic_write(path) as temporary:
            temporary.write_bytes(save({"value": value}, {"fingerprint": self.fingerprint}))

    def load_tensor(self, name: str) -> Tensor:
        """Return a tensor that was kept.

        Args:
            name: As in :meth:`save_tensor`.

        Returns:
            The tensor, on the CPU.
        """
        path = self.path(name, ".safetensors")
        return self._tensors[name] if path is None else load_file(path)["value"]

    def _read(self, path: Path) -> Piece | None:
        try:
            content = json.loads(path.read_text())
            return content["piece"] if content["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
