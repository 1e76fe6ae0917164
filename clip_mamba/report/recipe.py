"""What the report says of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from clip_mamba.tables.tex import Tex
from clip_mamba.variants import architecture, variant


def recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting: the original's, ours, and why they differ.

    Args:
        recipe: ``settings`` and ``reasons``.

    Returns:
        All rows, those that changed, those that were kept, and values by name.
    """
    from clip_mamba.recipe import ORIGINAL, Recipe

    settings, reasons = dict(recipe.get("settings", {})), dict(recipe.get("reasons", {}))
    original, used = _flat(ORIGINAL), _flat(Recipe.from_config(settings))
    rows: list[dict[str, Any]] = []
    given: set[str] = set()
    for name, value in used.items():
        group = name.partition(".")[0]
        reason = reasons.get(name) or reasons.get(group) or ""
        changed = value != original[name]
        # A group's reason is given once.
        shown = "likewise" if reason in given else reason
        given |= {reason} if changed and reason else set()
        rows.append({
            "name": name,
            "original": _setting(name, original[name]),
            "used": _setting(name, value),
            "changed": changed,
            "reason": shown,
        })
    return {
        "rows": rows,
        "changed": [row for row in rows if row["changed"]],
        "kept": [row for row in rows if not row["changed"]],
        "value": {row["name"]: row["used"] for row in rows},
    }


def exceptions(
    recipe: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return which models had other settings, and which; models that share them together.

    Args:
        recipe: ``settings`` and ``reasons`` that models share.
        settings: What each model was pretrained with, variants included.

    Returns:
        Groups of models with their changes.
    """
    from clip_mamba.recipe import Recipe

    shared = _flat(Recipe.from_config(dict(recipe.get("settings", {}))))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, own in settings.items():
        flat = _flat(Recipe.from_config(dict(own)))
        changes = [
            {"name": name, "shared": _setting(name, shared[name]), "used": _setting(name, value)}
            for name, value in flat.items()
            if value != shared[name]
        ]
        if changes or variant(model):
            group = found.setdefault(
                (variant(model), str(changes)),
                {"variant": variant(model), "models": [], "changes": changes},
            )
            group["models"].append(architecture(model))
    return list(found.values())


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return the fields of nested dataclasses with dotted names."""
    found: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            found |= _flat(value, f"{prefix}{entry.name}.")
        else:
            found[prefix + entry.name] = value
    return found


def _setting(name: str, value: Any) -> Any:
    if value is None:
        return "the model's own" if name == "drop_path" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        mantissa, _, exponent = f"{value:g}".partition("e")
        return Tex(rf"${mantissa}\cdot 10^{{{int(exponent)}}}$") if exponent else mantissa
    if isinstance(value, tuple | list):
        return "(" + ", ".join(f"{part:g}" for part in value) + ")"
    return str(value)
