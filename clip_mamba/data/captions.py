"""Write captions for a concept: label, keywords and category names in several sentence forms."""

from collections.abc import Sequence

import numpy as np

from clip_mamba.data.concepts import Concept, category_names

#: Forms that name the concept. ``{a}`` is the label with its article where it takes one.
LABEL_FORMS = (
    "{label}",
    "{a}",
    "a picture of {a}",
    "an image of {a}",
    "a drawing of {a}",
    "an icon of {a}",
    "an emoji of {a}",
    "a cartoon of {a}",
    "{label} emoji",
    "{label}, {keyword}",
    "{label}, {keyword}, {other}",
    "{keyword}: {label}",
    "{label}, {subgroup}",
    "{label}, a kind of {subgroup}",
    "{subgroup}: {label}",
    "{group}: {label}",
    "this is {a}",
)
#: Forms that only say what it is like or what it belongs to.
OTHER_FORMS = (
    "{keyword}, {other}",
    "a picture of {keyword}",
    "{keyword}, {subgroup}",
    "a picture of {subgroup}",
    "an icon of {subgroup}",
    "{subgroup}, {group}",
    "a picture of {group}",
    "{subgroup}",
    "{group}",
)
FEWEST, MOST = 4, 8


def with_article(label: str) -> str:
    """Put an indefinite article before a label that takes one.

    Args:
        label: A concept's label.

    Returns:
        E.g. ``"an owl"``; plurals, proper names and labels with a list stay as they are.
    """
    head = label.split(" of ")[0].split(":")[0]
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is"))
    taken = label.split(" ")[0].lower() in {"a", "an", "the", "no", "one", "two", "three"}
    if plural or taken or not label[0].islower() or not label.isascii() or "," in label:
        return label
    return f"{'an' if label[0] in 'aeio' else 'a'} {label}"


def captions(concept: Concept, rng: np.random.Generator) -> list[str]:
    """Write 4 to 8 different captions, the first few of which name the concept.

    Args:
        concept: What the picture shows.
        rng: The generator.

    Returns:
        Distinct, non-empty captions; at least three quarters hold the label.
    """
    wanted = int(rng.integers(FEWEST, MOST + 1))
    others = wanted // 4
    loose = _fill(OTHER_FORMS, concept, rng, others)
    return _fill(LABEL_FORMS, concept, rng, wanted - len(loose), avoid=loose) + loose


def _fill(
    forms: Sequence[str],
    concept: Concept,
    rng: np.random.Generator,
    count: int,
    avoid: Sequence[str] = (),
) -> list[str]:
    # At most ``count`` different forms, with words drawn anew for each.
    names = category_names()
    found: list[str] = []
    for index in rng.permutation(len(forms)):
        if len(found) == count:
            break
        keywords = [word for word in concept.keywords if word.strip() and word != concept.label]
        keywords = keywords or [concept.label]
        first, second = rng.choice(len(keywords), 2, replace=len(keywords) < 2)
        text = forms[index].format(
            label=concept.label,
            a=with_article(concept.label),
            keyword=keywords[first],
            other=keywords[second],
            subgroup=str(rng.choice(names["subgroup"][concept.subgroup])),
            group=str(rng.choice(names["group"][concept.group])),
        )
        if text not in found and text not in avoid:
            found.append(text)
    return found
