"""The one schema in which every measurement is written and read."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, ValidationError

from clip_mamba.files import atomic_write
from clip_mamba.machine import machine

#: Libraries whose version can change a number.
LIBRARIES = (
    "torch", "torchvision", "timm", "open_clip_torch", "pytorch-lightning", "numpy", "scipy",
    "numba", "pillow", "scikit-image", "scikit-learn",
)  # fmt: skip


def library_versions() -> dict[str, str]:
    """Return the installed versions of Python and of every library in ``LIBRARIES``.

    Returns:
        Name to version; a library that is not installed is left out.
    """
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


#: The seed of a pretraining, or where weights come from that were not pretrained here.
Seed = int | Literal["released", "given"]


def parse_seed(text: str) -> Seed:
    """Read the seed in a run's name.

    Args:
        text: Digits, ``released`` or ``given``.

    Returns:
        The seed.

    Raises:
        ValueError: If it is neither.
    """
    if text == "released":
        return "released"
    if text == "given":
        return "given"
    if text.isdigit():
        return int(text)
    raise ValueError(f"{text!r} is no seed: give a whole number, 'released' or 'given'.")


class Result(BaseModel):
    """One measurement of one model on one task, with all that is needed to check it.

    ``value`` is in the metric's own unit (accuracies are fractions in [0, 1], never per cent).
    ``details`` holds what a figure needs beyond the headline value: accuracies per level,
    raw eigenvalues, the loss history.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    kind: Literal["pretrain", "zeroshot", "retrieval", "linear-probe", "ood", "hessian"]
    scale: str
    model: str = Field(description="perhaps with a variant, see clip_mamba.variants")
    image_parameters: int = Field(ge=0, description="image tower, head included")
    text_parameters: int = Field(ge=0)
    seed: Seed
    task: str = Field(description="zero-shot task, OOD condition, or the name of the quantity")
    split: str
    examples: int = Field(ge=0)
    metric: str
    value: FiniteFloat | None = Field(description="None when it could not be measured: see reason")
    reason: str | None = None
    interval: tuple[FiniteFloat, FiniteFloat] | None = Field(
        default=None, description="95 % confidence"
    )
    interval_method: str | None = None
    details: dict[str, JsonValue] = Field(default_factory=dict)
    weights_sha256: str | None = None
    data_sha256: str
    versions: dict[str, str] = Field(default_factory=library_versions)
    device: str = "cpu"
    machine: str = Field(default_factory=machine, description="processor, cores and GPU")
    seconds: float = Field(ge=0)

    def write(self, path: str | Path) -> None:
        """Write the result as indented JSON, atomically.

        Args:
            path: The file to write.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Result:
        """Read a result and check it against the schema.

        Args:
            path: A file written by :meth:`write`.

        Returns:
            The result.

        Raises:
            ValueError: If the file does not follow the schema; the message names the file.
        """
        try:
            # A file without a machine is not of this one.
            return cls.model_validate({"machine": "", **json.loads(Path(path).read_text())})
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path} is not JSON: {error}. Delete it and run the workflow again."
            ) from error
        except ValidationError as error:
            raise ValueError(
                f"{path} is not a result of schema version 1: {error.errors()[0]['loc']}: "
                f"{error.errors()[0]['msg']}. Delete it and run the workflow again."
            ) from error
