"""Cut-out shapes in place of the demo's objects, for the tests of the out-of-distribution part."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image, ImageDraw
from torch import nn

from clip_mamba.stimuli import CATEGORIES

#: The demo's levels of each condition.
DEMO_LEVELS = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())["scales"][
    "demo"
]["ood"]["levels"]


def draw(category, number, kind):
    """Return an RGBA picture: a polygon with as many corners as its category's index says."""
    rng = np.random.default_rng([category, number])
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    colour = tuple(int(x) for x in rng.integers(40, 216, 3))
    pen = ImageDraw.Draw(picture)
    if kind == "line":
        pen.regular_polygon((32, 32, 28), category + 3, number * 7, outline="black", width=3)
    else:
        pen.regular_polygon((32, 32, 30), category + 3, number * 7, fill=colour)
        pen.ellipse((24, 24, 40, 40), fill=(255, 255, 255, 255))
    return picture


def write_bases(path, per_category=3, categories=range(16), lines=range(4)):
    """Write ``base.tar`` with some objects of each category, and line art of some."""
    with tarfile.open(path, "w") as archive:
        for category in categories:
            kinds = ["colour"] * per_category + ["line"] * (category in lines)
            for number, kind in enumerate(kinds):
                buffer = io.BytesIO()
                draw(category, number, kind).save(buffer, "PNG")
                record = {"category": CATEGORIES[category], "kind": kind}
                files = {
                    "png": buffer.getvalue(),
                    "cls": str(category).encode(),
                    "json": json.dumps(record).encode(),
                }
                for extension, content in files.items():
                    entry = tarfile.TarInfo(f"{category:02d}-{number:03d}.{extension}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    return path


class Colourist(nn.Module):
    """A model whose picture and text features are whatever the test says."""

    def __init__(self, width=16):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(3.0))
        self.width = width
        self.encoded = 0

    def encode_text(self, tokens):
        return nn.functional.one_hot(tokens[:, 0], self.width).float()

    def encode_image(self, images):
        self.encoded += len(images)
        mean = images.mean(dim=(1, 2, 3))
        return nn.functional.one_hot((mean * self.width).long() % self.width, self.width).float()


def tokenizer(prompts):
    """Return the index of the category that a prompt names."""
    words = [[word.strip(".") for word in prompt.split()] for prompt in prompts]
    return torch.tensor([
        [next(CATEGORIES.index(w) for w in ws if w in CATEGORIES)] for ws in words
    ])


def preprocess(image):
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
