"""Check of the configuration: one line for each mistake, with the nearest valid spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from workflow.cross_checks import cross_checks
from workflow.spelling import nearest

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
#: What the Snakefile reads; further files and ``--config`` are merged over it.
SHIPPED = "config.yaml"
#: Sections whose other keys depend on one of them, and how the schema calls what they may hold.
KINDS = {"corpus": ("kind", "{}_corpus"), "ood": ("source", "{}_ood")}


def mistakes(
    config: dict[str, Any],
    files: Iterable[str | Path] = (),
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return what is wrong with a configuration.

    Args:
        config: The merged configuration.
        files: The files that were merged over ``config.yaml``.
        options: What ``--config`` gave.

    Returns:
        One line a mistake, the most telling first; empty if there is none.
    """
    errors = sorted(Draft202012Validator(_schema()).iter_errors(config), key=lambda e: list(e.path))
    found = [entry for error in errors for entry in _explain(error)] or list(cross_checks(config))
    sources = _sources(files, options or {}) if found else {}
    return [f"{_said_by(place, sources)}: {place or 'the top level'}: {t}" for place, t in found]


def settle(config: dict[str, Any], shipped: str | Path = SHIPPED) -> None:
    """Forget what the shipped file says of another kind of corpus or stimuli than the chosen one.

    Snakemake merges files key by key, so that the keys of the demo's corpus would remain under a
    user's own, which has no such keys.

    Args:
        config: The merged configuration; it is changed.
        shipped: The file that the others were merged over.
    """
    schema, base = _schema(), {}
    for scale, study in _mapping(config.get("scales")).items():
        for name, (key, kind) in KINDS.items():
            section = _mapping(_mapping(study).get(name))
            known = schema["$defs"].get(kind.format(section.get(key)), {}).get("properties")
            if known is None or set(section) <= set(known):
                continue
            base = base or _mapping(yaml.safe_load(Path(shipped).read_text()))
            before = _mapping(_at(base, ("scales", scale, name)))
            if before.get(key) != section[key]:
                for other in set(section) - set(known):
                    if other in before and before[other] == section[other]:
                        del section[other]


def _mapping(value: Any) -> dict[str, Any]:
    # A faulty configuration is for `mistakes` to complain of.
    return value if isinstance(value, dict) else {}


@cache
def _schema() -> dict[str, Any]:
    return yaml.load(SCHEMA.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    # Yields the place and what is wrong there.
    keys = [str(part) for part in error.absolute_path]
    place, wanted = ".".join(keys), error.validator_value
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known), key=str):
            yield ".".join([*keys, str(key)]), f"unknown key {key!r}; {nearest(key, known)}"
    elif error.validator == "enum":
        yield place, f"unknown value {error.instance!r}; {nearest(error.instance, wanted)}"
    elif error.validator == "type":
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
        yield place, f"{error.instance!r} is not of type {wanted}"
    elif error.validator == "required":
        missing = [key for key in wanted if key not in error.instance]
        yield place, f"missing key {', '.join(missing)}"
    elif error.validator in {"pattern", "not"}:
        said = error.schema.get("description", error.message)
        yield place, f"{error.instance!r} will not do; wanted: {said}"
    else:
        yield place, error.message


def _sources(files: Iterable[str | Path], options: Mapping[str, Any]) -> dict[str, Any]:
    # Names of what was merged, in that order, and what each says.
    paths = [Path(SHIPPED).resolve(), *(Path(name).resolve() for name in files)]
    found = {_shown(p): yaml.safe_load(p.read_text()) for p in paths if p.is_file()}
    return {**found, "--config": options}


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _said_by(place: str, sources: Mapping[str, Any]) -> str:
    # The source that has most of the place; of several the one that was merged last.
    keys = place.split(".")
    for depth in range(len(keys), 0, -1):
        for name in reversed(sources):
            if _at(sources[name], keys[:depth]) is not _ABSENT:
                return name
    return SHIPPED


_ABSENT = object()


def _at(section: Any, keys: Iterable[str]) -> Any:
    # What a configuration has at a place.
    for key in keys:
        if not isinstance(section, Mapping) or key not in section:
            return _ABSENT
        section = section[key]
    return section
