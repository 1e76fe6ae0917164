"""LaTeX from Jinja templates whose delimiters cannot be mistaken for LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from clip_mamba.files import atomic_write

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "λ": r"$\lambda$",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "\u00a0": "~",
}
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


class Tex(str):
    """Text that is LaTeX already and is not escaped again."""

    __slots__ = ()


def escape(value: Any) -> str:
    """Return a value as LaTeX text.

    Args:
        value: Anything; :class:`Tex` is left as it is.

    Returns:
        LaTeX that prints the value.
    """
    if isinstance(value, Tex):
        return value
    text = _PATTERN.sub(lambda match: _SPECIAL[match.group()], str(value))
    # What pdfTeX's input encoding does not know would stop the whole report.
    return re.sub(r"[^\x00-\u017f]", "?", text)


def breakable(value: Any) -> Tex:
    """Return a long name in typewriter letters that may break at punctuation.

    Args:
        value: A path, checksum or identifier.

    Returns:
        LaTeX.
    """
    parts = re.split(r"(?<=[/_.:-])", str(value))
    return Tex(r"\texttt{" + r"\allowbreak{}".join(escape(part) for part in parts) + "}")


def environment(folder: str | Path) -> jinja2.Environment:
    """Return a Jinja environment for LaTeX.

    Statements are ``((* ... *))``, values ``((( ... )))``, comments ``((= ... =))``. Values are
    escaped unless they are :class:`Tex`, and a missing name is an error.

    Args:
        folder: Where templates are looked for.

    Returns:
        The environment.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(folder)),
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((=",
        comment_end_string="=))",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        autoescape=False,
    )
    made.filters["tt"] = breakable
    made.filters["tex"] = Tex
    return made


def render(template: str | Path, context: Mapping[str, Any], out_path: str | Path) -> None:
    """Fill a template and write the result, atomically.

    Args:
        template: The template file.
        context: Its names and values.
        out_path: The file to write.

    Raises:
        ValueError: If the template is malformed or uses a name that the context lacks.
    """
    template = Path(template)
    try:
        text = environment(template.parent).get_template(template.name).render(dict(context))
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"{template}, line {error.lineno}: {error.message}") from error
    except jinja2.UndefinedError as error:
        raise ValueError(f"{template}: {error.message}; see clip_mamba/report") from error
    with atomic_write(out_path) as temporary:
        temporary.write_text(text)
