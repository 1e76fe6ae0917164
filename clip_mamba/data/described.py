"""Descriptions of prepared sets: a checked JSON file beside the pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from clip_mamba.files import atomic_write


class Described(BaseModel):
    """What a file in a set's folder says of the set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The file's name.
    FILE: ClassVar[str]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read and check a description.

        Args:
            path: The file, or the folder that holds it.

        Returns:
            The description.

        Raises:
            ValueError: If the file is missing or breaks the schema; the message names it.
        """
        path = Path(path)
        path = path / cls.FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError as error:
            raise ValueError(f"{path} is missing. Build the {path.stem} again.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or path.stem
            raise ValueError(f"{path}: {place}: {first['msg']}.") from error

    def write(self, path: str | Path) -> None:
        """Write the description, atomically.

        Args:
            path: The file.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n")


def missing(folder: str | Path, file: str = "task.json") -> dict[str, Any] | None:
    """Return what is known of a set whose pictures are absent.

    Args:
        folder: The set's folder.
        file: The file that describes it.

    Returns:
        At least ``name`` and the reason as ``missing``; ``None`` if the pictures are there, or if
        the file cannot be understood: whoever reads it says what is wrong.

    Raises:
        ValueError: If the folder has no such file.
    """
    path = Path(folder) / file
    if not path.is_file():
        raise ValueError(f"{path} is missing. Build the task again.")
    try:
        facts = json.loads(path.read_text())
    except ValueError:
        return None
    return {"name": Path(folder).name} | facts if facts.get("missing") else None
