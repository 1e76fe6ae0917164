"""Safe unpacking of archives that come from elsewhere."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath


class UnsafeArchive(ValueError):
    """An archive would write outside its folder, or is no archive at all."""


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a tar (compressed or not) or zip archive below a folder.

    Members are refused that would land outside the folder, links that point outside it, and
    devices (:func:`tarfile.data_filter`; for zip the same by hand).

    Args:
        archive: The file.
        folder: Where to unpack; made if missing.

    Returns:
        The folder.

    Raises:
        UnsafeArchive: If a member is unsafe, or the file is damaged or of another kind; the
            message names archive and member. What was unpacked before stays in the folder.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # A tar that ends with a zip looks like a zip as well.
        if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
            _unpack_zip(archive, folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise UnsafeArchive(
            f"{archive}: refused to unpack {error.tarinfo.name!r}: {error}"
        ) from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UnsafeArchive(f"{archive} is damaged or no tar or zip archive: {error}") from error
    return folder


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            path = PurePosixPath(member.filename)
            link = stat.S_ISLNK(member.external_attr >> 16)
            if path.is_absolute() or ".." in path.parts or link:
                raise UnsafeArchive(f"{archive}: refused to unpack {member.filename!r}")
        file.extractall(folder)
