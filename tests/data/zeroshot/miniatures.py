"""Miniatures of the 26 tasks in the on-disk format of their sources, with known right answers.

Every miniature shows eight pictures. Red says which of four classes a model should see in a
picture, green how sure it should be of the second of two classes; see ``fake_model``.
"""

import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import webdataset
from PIL import Image

from clip_mamba.data.zeroshot_sets.prompts import SLIP
from clip_mamba.data.zeroshot_sets.table import Entry, read_entries, read_retrieval_entries
from tests.http_server import Server

#: Which class each picture is of, and which one the model sees in it.
TRUTH = ["a", "a", "a", "b", "b", "c", "d", "d"]
SEEN = ["a", "a", "b", "b", "b", "a", "d", "a"]
#: Sevenths of certainty that it is the second class.
STRENGTH = [1, 2, 5, 4, 6, 0, 7, 3]

#: SLIP's class of a, b, c, d: where orders differ, classes that change places.
SLOTS = {
    "sun397": [206, 207, 5, 300],
    "caltech101": [0, 1, 3, 50],
    "pets": [1, 12, 0, 30],
    "kitti": [0, 1, 2, 3],
    "clevr-counts": [0, 1, 2, 7],
    "kinetics700": [10, 11, 12, 310],
    **dict.fromkeys(["pcam", "hateful-memes", "rendered-sst2"], [0, 1, 0, 1]),
}
#: Mirrors save most sets as lossless WebP, some as the original JPEG or as PNG.
FORMATS = ["webp", "jpg", "png"]


def slots(task: str) -> list[int]:
    return SLOTS.get(task, [3, 4, 5, 9 if task != "fer2013" else 6])


def class_names(entry: Entry) -> list[list[str]]:
    """Names in SLIP's order: invented, except that numerals and distances must be themselves."""
    if entry.name == "clevr-counts":
        return [[name] for name in ["10", "3", "4", "5", "6", "7", "8", "9"]]
    if entry.name == "kitti":
        return [["far off"], ["at some distance"], ["close by"], ["nothing there"]]
    if entry.name == "fer2013":
        return [[f"mood {i}", f"feeling {i}"] for i in range(7)]
    return [[f"Kind {entry.name} no {i}"] for i in range(entry.classes)]


def source_names(entry: Entry) -> list[str]:
    """The same in the order, and the spelling, of the source."""
    names = [synonyms[0] for synonyms in class_names(entry)]
    if entry.name == "clevr-counts":
        return ["three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    if entry.name == "kitti":
        return ["Close by", "At some distance", "Far off", "Nothing there"]
    if entry.name == "sun397":
        names[206], names[207] = names[207], names[206]
    if entry.name == "caltech101":
        # Alphabetical: the faces after 36 others, leopards after 56, motorbikes after 64.
        first, rest = names[:5], names[5:]
        places = sorted([(4, first[0]), (37, first[1]), (38, first[2]), (57, first[3])])
        for place, name in [*places, (66, first[4])]:
            rest.insert(place, name)
        names = rest
    if entry.name == "pets":
        # Alphabetical: cats and dogs mixed, each in its own order.
        cats, dogs = iter(names[:12]), iter(names[12:])
        pattern = "CDDDDCCCDCDCDDDDDDDDCDDCDDCCDDDDCCDDD"
        names = [next(cats if letter == "C" else dogs) for letter in pattern]
    return [name.lower().replace(" ", "_") for name in names]


@dataclass
class Site:
    """A folder that stands for the web: ``https://host/path`` is ``folder/host/path``."""

    folder: Path
    server: Server | None = None

    def place(self, url: str) -> str:
        """The path that the server counts requests for and cuts."""
        return str(self.path(url).relative_to(self.folder.parent))

    def path(self, url: str) -> Path:
        path = self.folder / url.removeprefix("https://").partition("?")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, url: str, content: bytes | str) -> Path:
        path = self.path(url)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def colour(seen: int, strength: int) -> tuple[int, int, int]:
    return 16 + 32 * seen, 16 + 32 * strength, 128


def picture(number: int, extension: str = "png", size: int = 24) -> bytes:
    seen = "abcd".index(SEEN[number])
    image = Image.new("RGB", (size + number, size), colour(seen, STRENGTH[number]))
    buffer = io.BytesIO()
    kind = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[extension]
    image.save(buffer, kind, **({"lossless": True} if extension == "webp" else {"quality": 95}))
    return buffer.getvalue()


def clip(number: int, suffix: str, codec: str, frames: int = 11) -> bytes:
    """A real small video whose middle frame alone has the colour that counts."""
    buffer = io.BytesIO()
    seen = "abcd".index(SEEN[number])
    with av.open(buffer, "w", format=suffix) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for i in range(frames):
            shown = colour(seen, STRENGTH[number]) if i == frames // 2 else colour(7, 3)
            pixels = np.full((32, 48, 3), shown, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def truth(entry: Entry, number: int) -> int:
    """SLIP's class of a picture."""
    return slots(entry.name)["abcd".index(TRUTH[number])]


def put_prompts(site: Site) -> None:
    entries = read_entries().values()
    labels = {
        entry.prompts: [n[0] if len(n) == 1 else n for n in class_names(entry)] for entry in entries
    }
    templates = {entry.prompts: ["a photo of <{}>.", "one <{}>"] for entry in entries}
    site.put(f"{SLIP}/labels.json", json.dumps(labels))
    site.put(f"{SLIP}/templates.json", json.dumps(templates))


def put_mirror(site: Site, entry: Entry, split: str = "test") -> None:
    """A webdataset as CLIP_benchmark's exporter leaves it, in two shards."""
    base = entry.source[0]
    names = source_names(entry)
    wanted = [synonyms[0].lower().replace(" ", "_") for synonyms in class_names(entry)]
    if entry.name == "kitti":
        names, wanted = ([n.lower() for n in names], [s[0] for s in class_names(entry)])
    if entry.name == "clevr-counts":
        words = dict(zip(["3", "4", "5", "6", "7", "8", "9", "10"], names, strict=True))
        wanted = [words[synonyms[0]] for synonyms in class_names(entry)]
    site.put(f"{base}/classnames.txt", "\n".join(source_names(entry)) + "\n")
    site.put(f"{base}/zeroshot_classification_templates.txt", "a photo of {c}.\n")
    site.put(f"{base}/{split}/nshards.txt", "2\n")
    extension = FORMATS[len(entry.name) % len(FORMATS)]
    pattern = str(site.path(f"{base}/{split}/0.tar").parent / "%d.tar")
    with webdataset.ShardWriter(pattern, maxcount=5, verbose=0) as sink:
        for number in range(len(TRUTH)):
            sink.write({
                "__key__": f"s{number:07d}",
                extension: picture(number, extension),
                "cls": names.index(wanted[truth(entry, number)]),
            })


def put_cub(site: Site, entry: Entry, extra: dict[str, bytes] | None = None) -> None:
    names = [f"{i + 1:03d}.{name}" for i, name in enumerate(source_names(entry))]
    files, lists = {}, {"images": [], "image_class_labels": [], "train_test_split": []}
    for number in range(2 * len(TRUTH)):
        label, shown = truth(entry, number % 8), f"Bird_{number:04d}.jpg"
        lists["images"].append(f"{number + 1} {names[label]}/{shown}")
        lists["image_class_labels"].append(f"{number + 1} {label + 1}")
        lists["train_test_split"].append(f"{number + 1} {int(number >= 8)}")
        files[f"CUB_200_2011/images/{names[label]}/{shown}"] = picture(number % 8, "jpg")
    lists["classes"] = [f"{i + 1} {name}" for i, name in enumerate(names)]
    for name, lines in lists.items():
        files[f"CUB_200_2011/{name}.txt"] = ("\n".join(lines) + "\n").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {"attributes.txt": b"", **files, **(extra or {})}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    site.put(entry.source[0], buffer.getvalue())


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace("_", " ").split())


def put_ucf101(site: Site, entry: Entry) -> None:
    folders = [camel(name) for name in source_names(entry)]
    clips, test, train = io.BytesIO(), [], []
    with zipfile.ZipFile(clips, "w") as archive:
        for number in range(2 * len(TRUTH)):
            label = truth(entry, number % 8)
            name = f"{folders[label]}/v_{folders[label]}_g{number // 2 + 1:02d}_c{number:02d}.avi"
            archive.writestr(f"UCF-101/{name}", clip(number % 8, "avi", "mpeg4"))
            if number < 8:
                test.append(name)
            else:
                train.append(f"{name} {label + 1}")
    lists = io.BytesIO()
    with zipfile.ZipFile(lists, "w") as archive:
        index = "\r\n".join(f"{i + 1} {name}" for i, name in enumerate(folders))
        for name, text in [
            ("classInd.txt", index),
            ("testlist01.txt", "\r\n".join(test)),
            ("trainlist01.txt", "\r\n".join(train)),
        ]:
            archive.writestr(f"ucfTrainTestlist/{name}", text + "\r\n")
    for url, buffer in zip(entry.source, (clips, lists), strict=True):
        site.put(url, buffer.getvalue())


def put_kinetics(folder: Path, entry: Entry) -> Path:
    """A user's copy: the list of DeepMind's release, clips as CVDF names them, two of them gone."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["label,youtube_id,time_start,time_end,split"]
    names = [name.replace("_", " ") for name in source_names(entry)]
    for number in range(len(TRUTH) + 2):
        label, youtube = truth(entry, number % 8), f"-ab_{number:07d}"
        rows.append(f'"{names[label]}",{youtube},{number},{number + 10},validate')
        if number < 8:
            name = f"{youtube}_{number:06d}_{number + 10:06d}.mp4"
            (folder / f"part_{number % 2}").mkdir(exist_ok=True)
            (folder / f"part_{number % 2}" / name).write_bytes(clip(number, "mp4", "mpeg4", 20))
    (folder / "val.csv").write_text("\n".join(rows) + "\n")
    return folder


def put_hateful_memes(folder: Path, entry: Entry) -> Path:
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for split, first in [("dev", 0), ("train", 8)]:
        lines = []
        for number in range(8):
            name = f"img/{first + number:05d}.png"
            (folder / name).write_bytes(picture(number, "png"))
            row = {"id": first + number, "img": name, "label": truth(entry, number), "text": "x"}
            lines.append(json.dumps(row))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def put_retrieval(site: Site, name: str) -> None:
    """As CLIP_benchmark's exporter leaves a retrieval set; a caption with a line break in it."""
    base = read_retrieval_entries()[name].source
    site.put(f"{base}/dataset_type.txt", "retrieval\n")
    site.put(f"{base}/test/nshards.txt", "2\n")
    pattern = str(site.path(f"{base}/test/0.tar").parent / "%d.tar")
    with webdataset.ShardWriter(pattern, maxcount=5, verbose=0) as sink:
        for number in range(8):
            captions = [f"caption <{number}> of picture", f"again <{number}>\nin two lines"]
            sink.write({
                "__key__": f"s{number:07d}",
                "jpg": picture(number, "jpg"),
                "txt": "\n".join(caption.replace("\n", r"\n") for caption in captions),
            })


def put_task(site: Site, entry: Entry, split: str = "test") -> None:
    """Put the source of any task that is not gated."""
    if entry.kind == "cub":
        put_cub(site, entry)
    elif entry.kind == "ucf101":
        put_ucf101(site, entry)
    else:
        put_mirror(site, entry, split)


def put_folder(folder: Path, entry: Entry) -> Path:
    """Put the folder of a gated task."""
    put = put_kinetics if entry.kind == "kinetics" else put_hateful_memes
    return put(folder, entry)
