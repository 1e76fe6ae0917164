"""The middle frame of a video clip."""

import io
from typing import IO

import av
from av.error import FFmpegError
from PIL import Image

#: Quality of the stored frames; 4:4:4, so that colours keep their edges.
QUALITY = 95


def middle_frame(video: bytes) -> bytes:
    """Return frame n // 2 of a clip of n frames.

    Args:
        video: The clip's file.

    Returns:
        A JPEG of the frame's own size.

    Raises:
        ValueError: If no frame can be decoded.
    """
    try:
        count = _count(io.BytesIO(video))
        frame, decoded = _decode(io.BytesIO(video), count // 2)
        if frame is None and decoded:
            # Cut off, or its header promises more than there is: the middle of what there is.
            frame, _ = _decode(io.BytesIO(video), decoded // 2)
    except (FFmpegError, IndexError) as error:
        raise ValueError(f"no video: {error}") from error
    if frame is None:
        raise ValueError("a video without frames")
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _count(file: IO[bytes]) -> int:
    # Headers lie; counting packets reads the clip but decodes nothing.
    with av.open(file, "r") as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


def _decode(file: IO[bytes], target: int) -> tuple[Image.Image | None, int]:
    # The frame of a number, and how many were decoded to get there.
    decoded = 0
    with av.open(file, "r") as container:
        try:
            for frame in container.decode(video=0):
                if decoded == target:
                    return frame.to_image(), decoded + 1
                decoded += 1
        except FFmpegError:
            if not decoded:
                raise
    return None, decoded
