"""The categories of the out-of-distribution sets."""

#: model-vs-human's categories in its own (alphabetical) order: the index is the class.
CATEGORIES = (
    "airplane",
    "bear",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "car",
    "cat",
    "chair",
    "clock",
    "dog",
    "elephant",
    "keyboard",
    "knife",
    "oven",
    "truck",
)
