"""One catalogue behind pages, API and commands: each deed is on all three sides, and no side has one of its own."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import get_commands, load_command_class
from django.urls import URLPattern, URLResolver

from queues.desk import acts, groups
from queues.desk.api import urls
from queues.desk.catalogue import API, COMMAND, DEEDS, PAGE, Deed
from tests.queues.desk.test_access import DESK

QUEUES = ("emailmessage", "webhookevent")
ELSEWHERE = {"api-emails", "api-email", "api-schema", "api-docs", "api-operation"}
"""Of the API: sending mail is not a deed of staff; the state of an operation belongs to listing them."""
PAGES_OF_PAGES = ("_live", "_preview", "_change", "_changelist")
"""Parts of pages: their deed is looking."""
PLUMBING = {"makemigrations", "seed_queues", "sync_schedules", "work", "drain", "sweep_stripe", "redrive", "purge"}
"""Of the queues' commands: they run the system; `redrive` and `purge` are `queues redrive` and `queues purge`."""


def admin_names() -> set[str]:
    found: set[str] = set()
    pending: list[Any] = list(admin.site.get_urls())
    while pending:
        each = pending.pop()
        if isinstance(each, URLResolver):
            pending += each.url_patterns
        elif isinstance(each, URLPattern) and each.name:
            found.add(each.name)
    return found


def verbs() -> set[str]:
    parser = load_command_class("queues", "queues").create_parser("manage.py", "queues")
    (below,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return set(below.choices)


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
def test_each_deed_is_on_every_side_or_says_why_not(deed: Deed):
    pages = admin_names()
    if deed.page:
        assert {deed.page.format(model=model) for model in QUEUES} <= pages
    else:
        assert deed.why_not[PAGE]
    if deed.api:
        assert deed.api in {pattern.name for pattern in urls.urlpatterns}
    else:
        assert deed.why_not[API]
    if deed.command:
        assert deed.command[0] in get_commands()
        assert deed.command[0] != "queues" or len(deed.command) == 1 or deed.command[1] in verbs()
    else:
        assert deed.why_not[COMMAND]


def test_every_act_and_verdict_is_a_deed():
    names = {deed.name for deed in DEEDS}
    assert {*acts.ACTS, *groups.VERDICTS} <= names
    assert len(names) == len(DEEDS)


def test_no_address_of_the_api_is_without_its_deed():
    known = {deed.api for deed in DEEDS} | ELSEWHERE
    assert {str(pattern.name) for pattern in urls.urlpatterns} - known == set()


def test_no_verb_is_without_its_deed():
    assert verbs() - {deed.command[1] for deed in DEEDS if len(deed.command) > 1} == set()


def test_no_page_that_changes_something_is_without_its_deed():
    known = {deed.page.format(model=model) for deed in DEEDS for model in QUEUES}
    mine = {name for name in DESK if not name.endswith(PAGES_OF_PAGES)}
    assert mine - known == set()


def test_a_deed_that_changes_something_is_a_post_in_the_api():
    views = {pattern.name: pattern.callback.cls for pattern in urls.urlpatterns if hasattr(pattern.callback, "cls")}
    for deed in DEEDS:
        if deed.api:
            assert hasattr(views[deed.api], "post" if deed.changes else "get") or deed.name == "plan an act", deed.name
