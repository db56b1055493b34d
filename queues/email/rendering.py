"""Mail from a template: `email/<name>.subject.txt`, `.txt` and `.html`, with nothing left undefined."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.engine import Engine

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/-]*")
_MISSING = re.compile("\ue000([^\ue001]*)\ue001")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Subject and bodies; a body the template does not have is ""."""

    subject: str
    text: str
    html: str


def render(*, template: str, context: Mapping[str, Any]) -> Rendered:
    """Render the triplet. Raises ValueError for a template that does not exist, does not work, or lacks a variable."""
    if not NAME.fullmatch(template):
        raise ValueError(f"{template!r} is not the name of a template")
    subject, text, html = (_part(f"email/{template}{end}", context) for end in (".subject.txt", ".txt", ".html"))
    if subject is None or (text is None and html is None):
        raise ValueError(f"there is no template {template!r}: it needs a .subject.txt and a .txt or .html")
    return Rendered(" ".join(subject.split()), text or "", html or "")


def _part(path: str, context: Mapping[str, Any]) -> str | None:
    try:
        rendered = str(_engine().get_template(path).render(Context(dict(context), autoescape=path.endswith(".html"))))
    except TemplateDoesNotExist as error:
        if error.args[0] != path:
            raise ValueError(f"{path} needs a template that does not exist: {error.args[0]}") from error
        return None
    except (TemplateSyntaxError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise ValueError(f"{path} cannot be rendered: {error}") from error
    missing = sorted(set(_MISSING.findall(rendered)))
    if missing:
        raise ValueError(f"{path} needs {', '.join(missing)}, which the context lacks")
    return rendered


@functools.cache
def _engine() -> Engine:
    """The site's template engine, but one that marks what is undefined instead of leaving it out."""
    site: Engine = engines["django"].engine  # type: ignore[attr-defined]
    return Engine(
        dirs=site.dirs,
        app_dirs=site.app_dirs,
        libraries=site.libraries,
        builtins=site.builtins[len(Engine.default_builtins) :],
        string_if_invalid="\ue000%s\ue001",
    )
