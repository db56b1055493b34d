"""The page that asks for a reason before an act on one thing (a queue, an address), and does it on POST."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse


def page(
    request: HttpRequest,
    *,
    site: AdminSite,
    title: str,
    effect: str,
    button: str,
    back: str,
    form: forms.Form,
    act: Callable[[], str],
    refusal: str,
    gives_up: bool = False,
) -> HttpResponse:
    """GET asks; POST with a valid form calls `act`, whose words are the message, or "" if there was nothing to do.

    `refusal` is the message then. A GET changes nothing, whatever it carries.
    """
    if request.method == "POST" and form.is_valid():
        if words := act():
            messages.success(request, words)
        else:
            messages.warning(request, refusal)
        return redirect(back)
    context = {
        **site.each_context(request),
        "title": title,
        "effect": effect,
        "button": button,
        "back": back,
        "form": form,
        "gives_up": gives_up,
    }
    return TemplateResponse(request, "desk/reasoned.html", context, status=400 if form.errors else 200)
