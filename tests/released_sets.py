"""Miniatures of the benchmark's 17 released archives and of people's trials, in the true naming."""

import csv
import io
import tarfile

import numpy as np
from PIL import Image

from clip_mamba.corruptions.levels import LEVELS
from clip_mamba.data.categories import CATEGORIES
from clip_mamba.data.humans import COMMIT
from clip_mamba.data.ood_releases import read_releases

#: What stands in front of the releases' and the trials' addresses.
RELEASES = "https://github.com/bethgelab/model-vs-human/releases/download/v0.1"
TRIALS = f"https://raw.githubusercontent.com/bethgelab/model-vs-human/{COMMIT}/raw-data"

#: Second word of a stimulus's name, and the number behind its category.
WORDS = {
    "colour": ("cl", "40"),
    "contrast": ("cop", "10"),
    "high-pass": ("hp", "10"),
    "low-pass": ("lp", "10"),
    "phase-scrambling": ("ps", "10"),
    "power-equalisation": ("pow", "35"),
    "false-colour": ("fc", "35"),
    "rotation": ("rot", "20"),
    "eidolonI": ("eid", "10"),
    "eidolonII": ("eid", "10"),
    "eidolonIII": ("eid", "10"),
    "uniform-noise": ("nse", "10"),
    "sketch": ("ske", "00"),
    "stylized": ("sty", "00"),
    "edge": ("edg", "00"),
    "silhouette": ("sif", "00"),
    "cue-conflict": ("s5n", "00"),
}
#: Pictures of each set.
IMAGES = 32


def spelt(condition, level):
    """Return a level as people's trials and the names of files spell it."""
    if condition == "false-colour":
        return level.lower()
    return {"1.0": "1", "0.1": "0.10", "0.0": "0"}.get(level, level)


def stimuli(condition):
    """Return (level, category, picture's name) of a set's pictures."""
    levels = LEVELS[condition]
    found = []
    for i in range(IMAGES):
        category = CATEGORIES[i % 16]
        if condition == "cue-conflict":
            # One in sixteen has its own category's texture, as in the release.
            texture = CATEGORIES[(i + i // 16 * 3) % 16]
            picture = f"{category}{i // 16 + 1}-{texture}{2 + i % 3}.png"
        elif condition in {"edge", "silhouette"}:
            picture = f"{category}{i // 16 + 1}.png"
        elif condition == "sketch":
            picture = f"{category}-{i:04d}-sketch-{i}.png"
        elif condition == "stylized":
            picture = f"{category}-{i:04d}-ILSVRC2012-val-{i:08d}.png"
        else:
            picture = f"n0{2504458 + i % 16}_{7000 + i}.png"
        found.append((levels[i % len(levels)], category, picture))
    return found


def path_in_release(condition, layout, number, level, category, picture):
    """Return where an archive has a picture."""
    if layout == "categories":
        return f"{condition}/{category}/{picture}"
    code, count = WORDS[condition]
    name = f"{number:04d}_{code}_dnn_{spelt(condition, level)}_{category}_{count}_{picture}"
    return f"{condition}/dnn/session-1/{name}"


def png(number):
    """Return a small grey picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (number * 37) % 256, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def add(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def write_release(folder, condition, layout):
    """Write ``<condition>.tar.gz``; pictures of another order than their numbers, and clutter."""
    shown = list(enumerate(stimuli(condition), 1))
    with tarfile.open(folder / f"{condition}.tar.gz", "w:gz") as archive:
        add(archive, f"{condition}/.DS_Store", b"clutter")
        for number, (level, category, picture) in reversed(shown):
            name = path_in_release(condition, layout, number, level, category, picture)
            add(archive, name, png(number))
            head, _, tail = name.rpartition("/")
            add(archive, f"{head}/._{tail}", b"clutter")


def write_humans(folder, condition, people):
    """Write people's trials, each person's in an order of its own."""
    code, count = WORDS[condition]
    (folder / condition).mkdir(parents=True)
    for person in range(1, people + 1):
        rng = np.random.default_rng([person, len(condition)])
        rows = []
        for trial, i in enumerate(rng.permutation(IMAGES), 1):
            level, category, picture = stimuli(condition)[i]
            answer = category if rng.random() < 0.7 else str(rng.choice([*CATEGORIES, "na"]))
            word = spelt(condition, level)
            name = f"{trial:04d}_{code}_s{person:02d}_{word}_{category}_{count}_{picture}"
            time = "NaN" if answer == "na" else f"{rng.uniform(0.4, 1.5):.4f}"
            subject = f"subject-{person:02d}"
            rows.append((subject, 1, trial, time, answer, category, word, name))
        file = folder / condition / f"{condition}_subject-{person:02d}_session_1.csv"
        with open(file, "w", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            # The parametric sets' tables spell this column with a capital letter.
            session = "Session" if len(LEVELS[condition]) > 1 else "session"
            names = ("subj", session, "trial", "rt", "object_response", "category")
            writer.writerow((*names, "condition", "imagename"))
            writer.writerows(rows)


def write_all(folder):
    """Write everything below a folder to be served, and the table of these sets.

    Returns:
        The table, in the form of ``data/ood.tsv``.
    """
    (folder / "releases").mkdir(parents=True)
    lines = ["condition\turl\tlayout\timages\tpeople\tlicence"]
    for condition, release in read_releases().items():
        write_release(folder / "releases", condition, release.layout)
        people = min(release.people, 3)
        write_humans(folder / "trials", condition, people)
        fields = (condition, release.url, release.layout, IMAGES, people, "none")
        lines.append("\t".join(map(str, fields)))
    table = folder / "ood.tsv"
    table.write_text("\n".join(lines) + "\n")
    return table
