import io

import av
import numpy as np
import pytest
from PIL import Image

from clip_mamba.data.zeroshot_sets.frames import middle_frame


def video(colours, suffix="mp4"):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=suffix) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in colours:
            pixels = np.full((48, 64, 3), grey, dtype=np.uint8)
            pixels += np.arange(0, 48, dtype=np.uint8)[:, None, None] % 5  # for some size
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def grey(jpeg):
    image = Image.open(io.BytesIO(jpeg))
    assert image.size == (64, 48) and image.mode == "RGB"
    return np.asarray(image).mean()


@pytest.mark.parametrize("suffix", ["mp4", "avi", "matroska"])
@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_the_frame_at_half_the_length_is_returned(count, suffix):
    colours = [20 + 7 * i for i in range(count)]
    assert grey(middle_frame(video(colours, suffix))) == pytest.approx(colours[count // 2], abs=4)


def test_a_clip_that_was_cut_off_gives_the_middle_of_the_rest():
    whole = video([20 + 3 * i for i in range(60)], "avi")
    first = whole.index(b"movi")  # where the frames begin
    frame = grey(middle_frame(whole[: first + (len(whole) - first) // 2]))
    assert 20 + 3 * 5 < frame < 20 + 3 * 25


@pytest.mark.parametrize("content", [b"", b"no video at all", video([9, 9])[:100]])
def test_what_is_no_video_is_refused(content):
    with pytest.raises(ValueError, match="video"):
        middle_frame(content)
