"""Pictures on their way into a task's tar: decoded once to prove them, counted, checked."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tqdm import tqdm

from clip_mamba.data.shards import Sample, decode, to_json
from clip_mamba.data.tasks import IMAGE_EXTENSIONS, UNREADABLE

#: More unreadable pictures than this share, and the task fails.
TOLERATED = 0.001


@dataclass(frozen=True)
class Picture:
    """A labelled picture of a source."""

    key: str
    #: File name extension: png, jpg or webp.
    extension: str
    image: bytes
    #: SLIP's class.
    label: int
    #: What it shares with other pictures, such as the video that frames are from.
    cluster: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """A picture that its source could not give."""

    key: str
    reason: str


@dataclass
class Checked:
    """Counts what passes through, drops what cannot be read, and refuses what is wrong."""

    task: str
    classes: int
    labels: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def samples(
        self, pictures: Iterable[Picture | Unreadable], threads: int = 1
    ) -> Iterator[Sample]:
        """Pass pictures on in order.

        A label that is no class, a key that would leave the folder or comes twice, and (at the
        end) too many unreadable pictures raise a ``ValueError``.

        Args:
            pictures: What a source gives.
            threads: Pictures decoded at once; Pillow releases the lock.

        Yields:
            Key and files: the picture's own bytes, ``cls`` and, for a cluster, ``json``.
        """
        keys: set[str] = set()
        bar = tqdm(desc=self.task, unit=" pictures", delay=5, mininterval=1)
        for picture, problem in _decoded(pictures, threads):
            bar.update()
            if isinstance(picture, Unreadable) or problem:
                reason = picture.reason if isinstance(picture, Unreadable) else problem
                self.unreadable.append(f"{picture.key} ({reason})")
                continue
            self._check(picture, keys)
            self.labels.append(picture.label)
            files = {picture.extension: picture.image, "cls": b"%d" % picture.label}
            if picture.cluster is not None:
                files["json"] = to_json({"cluster": picture.cluster})
            yield picture.key, files
        bar.close()
        judge(self.task, len(self.labels), self.unreadable)

    def _check(self, picture: Picture, keys: set[str]) -> None:
        safe_key(self.task, picture.key)
        if picture.key in keys:
            raise ValueError(f"{self.task}: {picture.key!r} comes twice in its source.")
        keys.add(picture.key)
        if not 0 <= picture.label < self.classes:
            raise ValueError(
                f"{self.task}: {picture.key} has label {picture.label}, outside 0 to "
                f"{self.classes - 1}. The source is damaged, or not the set of the table."
            )


def safe_key(name: str, key: str) -> None:
    """Refuse a key that would become a path outside the folder.

    Args:
        name: The task or set, for the message.
        key: The sample's.

    Raises:
        ValueError: If it would.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name}: refused {key!r}, which leaves the folder.")


def judge(name: str, readable: int, unreadable: list[str]) -> None:
    """Fail if too many pictures could not be read, else say how many.

    Args:
        name: The task or set, for the message.
        readable: Pictures that can be read.
        unreadable: Keys of those that cannot, with the reason.

    Raises:
        ValueError: If more than ``TOLERATED`` of them, or all, cannot.
    """
    bad, total = len(unreadable), len(unreadable) + readable
    if not total:
        raise ValueError(f"{name}: there is no picture in its source.")
    if bad > TOLERATED * total:
        raise ValueError(
            f"{name}: {bad} of {total} pictures cannot be read, more than {TOLERATED:.1%}: "
            f"{', '.join(unreadable[:5])}. Delete its downloads and run again."
        )
    if bad:
        print(f"{name}: left out {bad} unreadable pictures: {', '.join(unreadable)}")


def find_image(files: dict[str, bytes]) -> tuple[str, bytes] | None:
    """Return the picture among a webdataset sample's files.

    Args:
        files: Contents by extension.

    Returns:
        Extension and bytes, or nothing.
    """
    return next(((e, files[e]) for e in IMAGE_EXTENSIONS if e in files), None)


def proven(image: bytes) -> str | None:
    """Decode a picture to the end.

    Args:
        image: The picture's bytes.

    Returns:
        Why it cannot be read, or nothing.
    """
    try:
        decode(image)
    except UNREADABLE as error:
        return type(error).__name__
    return None


def _decoded(
    pictures: Iterable[Picture | Unreadable], threads: int
) -> Iterator[tuple[Picture | Unreadable, str | None]]:
    """Yield each picture with what is wrong with it, a few at a time, in order."""
    waiting: deque[tuple[Picture | Unreadable, Future[str | None] | None]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for picture in pictures:
            future = pool.submit(proven, picture.image) if isinstance(picture, Picture) else None
            waiting.append((picture, future))
            if len(waiting) >= 4 * threads:
                first, future = waiting.popleft()
                yield first, future.result() if future else None
        for first, future in waiting:
            yield first, future.result() if future else None
