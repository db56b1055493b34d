"""The page that edits and redrives one item: asks, shows the difference, and does it once that was seen.

The form's second button is sealed with what was shown: other values show their own difference first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.http import urlencode

from queues.desk import differences, edits, permissions, plans, privacy, refusals
from queues.desk.editor import Editor, Invalid, Protected
from queues.desk.forms import ReasonForm
from queues.desk.operations import ReasonMissing
from queues.desk.requests import actor_of

if TYPE_CHECKING:
    from queues.desk.admin import QueueItemAdmin

OURS = ("csrfmiddlewaretoken", "reason", "version", "shown", "look", "save", privacy.PARAMETER)
"""What the form carries besides the fields of the item."""


def view(request: HttpRequest, item_id: int, *, desk: QueueItemAdmin) -> HttpResponse:
    """Ask, show the difference, or do it. Raises PermissionDenied, Http404."""
    item, editor = desk.found(request, item_id), desk.face.editor
    actor, now, reason = actor_of(request), timezone.now(), request.POST.get("reason", "")
    may = permissions.may(request.user, "edit", desk.model)
    if request.method == "GET" and not may:
        raise PermissionDenied
    back = desk.address("change", item.pk) + _kept(request)
    if request.method == "GET" and (why := edits.hinders(item, editor)):
        messages.error(request, f"It cannot be edited: {why}.")
        return redirect(back)
    seen = desk.sees(request, item)
    said: dict[str, Any] = {"actor": actor, "queue": desk.queue.name, "now": now}
    with refusals.noted(act="edit", reason=reason, items=[item.pk], **said):
        if not may:
            raise PermissionDenied
        assert editor is not None  # there is no such address without one
        form = form_for(editor, item, seen=seen)(request.POST or None)
        if request.method == "GET":
            return _ask(request, desk, item, form, back=back)
        if not seen and any(name in editor.hidden and name in editor.fields for name in request.POST):
            raise PermissionDenied  # contents are edited by who has seen them
    try:
        return _answer(request, desk, item, form, back=back, said=said)
    except Protected as error:
        form.add_error(None, f"Nothing was done. {error}.")
        return _ask(request, desk, item, form, back=back, status=422)
    except Invalid as error:
        form.add_error(error.name if error.name in form.fields else None, f"{error.why}.")
        return _ask(request, desk, item, form, back=back, status=400)
    except (plans.Stale, ReasonMissing) as error:
        messages.error(request, f"Nothing was done: {error}.")
        return redirect(back)


def _answer(
    request: HttpRequest, desk: QueueItemAdmin, item: Any, form: Any, *, back: str, said: dict[str, Any]
) -> HttpResponse:
    protected = [name for name in request.POST if name not in form.fields and name not in OURS]
    if not form.is_valid() and not protected:
        return _ask(request, desk, item, form, back=back, status=400)
    changes = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
    changes |= dict.fromkeys(protected)
    if request.POST.get("version", "") != str(item.version):
        raise plans.Stale("it changed since you looked at it")
    edit = edits.look(queue=desk.queue.name, item=item, editor=desk.face.editor, changes=changes)
    shown = edits.was_shown(edit, request.POST.get("shown", ""), user_id=request.user.pk)
    if "save" not in request.POST or not shown or not edit.after:
        return _ask(request, desk, item, form, back=back, edit=edit)
    entry = edits.perform(edit=edit, actor=said["actor"], reason=form.cleaned_data["reason"], now=said["now"])
    messages.success(request, f"Edited and redriven. (Ledger entry {entry}.)")
    return redirect(back)


def _ask(
    request: HttpRequest,
    desk: QueueItemAdmin,
    item: Any,
    form: forms.Form,
    *,
    back: str,
    edit: edits.Edit | None = None,
    status: int = 200,
) -> HttpResponse:
    editor, seen = desk.face.editor, desk.sees(request, item)
    found = differences.of(editor=editor, before=edit.before, after=edit.after, seen=seen) if edit is not None else []
    context = {
        **desk.admin_site.each_context(request),
        "title": f"Edit and redrive {desk.opts.verbose_name} {item.pk}",
        "item": item,
        "heading": desk.face.title(item),
        "form": form,
        "edit": edit,
        "differences": found,
        "shown": edits.token(edit, user_id=request.user.pk) if edit is not None and edit.after else "",
        "seen": request.GET.get(privacy.PARAMETER, "") if seen else "",
        "withheld": [name for name in (editor.fields if editor else ()) if name not in form.fields],
        "back": back,
    }
    return TemplateResponse(request, "desk/edit.html", context, status=status)


def form_for(editor: Editor, item: Any, *, seen: bool) -> type[ReasonForm]:
    """The form with the item's fields as they are; contents only for who sees them."""
    fields: dict[str, forms.Field] = {}
    for name in editor.fields:
        if name in editor.hidden and not seen:
            continue
        value = getattr(item, name)
        if isinstance(value, list):
            fields[name] = _Lines(name, value)
        elif name in editor.hidden:
            if value is not None:
                fields[name] = _Object(name, value)
        else:
            fields[name] = _Plain(name, value)
    return type("EditForm", (ReasonForm,), {**fields, "field_order": [*fields, "reason"]})


def _kept(request: HttpRequest) -> str:
    token = request.GET.get(privacy.PARAMETER, "")
    return f"?{urlencode({privacy.PARAMETER: token})}" if token else ""


class _Plain(forms.CharField):
    """A text of one line."""

    def __init__(self, name: str, value: str) -> None:
        box = forms.TextInput(attrs={"class": "desk-input", "autocomplete": "off"})
        super().__init__(label=name.capitalize(), initial=value, required=False, widget=box, max_length=5000)


class _Lines(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, name: str, value: list[str]) -> None:
        rows = min(max(len(value), 1), 8)
        box = forms.Textarea(attrs={"class": "desk-input", "rows": rows, "autocomplete": "off", "spellcheck": "false"})
        said: dict[str, Any] = {"label": name.capitalize(), "help_text": "One address a line." if name == "to" else ""}
        super().__init__(initial="\n".join(value), required=False, widget=box, max_length=400_000, **said)

    def clean(self, value: Any) -> Any:
        """The lines that are not empty."""
        return [line.strip() for line in str(super().clean(value)).splitlines() if line.strip()]


class _Object(forms.CharField):
    """A JSON object."""

    def __init__(self, name: str, value: Any) -> None:
        box = forms.Textarea(attrs={"class": "desk-input desk-code", "rows": 10, "spellcheck": "false"})
        text = json.dumps(value, indent=2, ensure_ascii=False)
        super().__init__(label=f"Template {name} (JSON)", initial=text, required=False, widget=box, max_length=400_000)

    def clean(self, value: Any) -> Any:
        """The object."""
        try:
            found = json.loads(super().clean(value) or "{}")
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error
        if not isinstance(found, dict):
            raise forms.ValidationError("A JSON object, in { }.")
        return found
