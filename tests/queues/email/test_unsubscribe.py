"""RFC 8058: the headers of bulk mail, the link in them, and what following it does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from queues.email import emails, suppressions, types, unsubscribe
from queues.email.models import Suppression
from queues.email.unsubscribe import Link

pytestmark = pytest.mark.django_db

MAIL: dict[str, Any] = {"to": ["Anna <anna@example.com>"], "subject": "N", "text": "News", "email_type": "newsletter"}


@pytest.fixture
def path(settings: Settings) -> str:
    """The link of a newsletter, as the web server sees it."""
    message = emails.enqueue(**MAIL)
    headers = dict(unsubscribe.headers_for(message))
    match = re.fullmatch(r"<http://localhost:8000(/unsubscribe/[^/>]+/)>", headers["List-Unsubscribe"])
    assert match, headers
    return match[1]


@pytest.fixture
def stranger() -> Client:
    """A mail program: no cookies, no log-in, and Django's CSRF check switched on."""
    return Client(enforce_csrf_checks=True)


def stopped(address: str = "anna@example.com") -> set[str]:
    return {block.scope for block in suppressions.blocked([address], now=timezone.now()).get(address, [])}


def test_bulk_mail_carries_both_headers(path: str):
    headers = dict(unsubscribe.headers_for(emails.enqueue(**MAIL)))
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert len(headers["List-Unsubscribe"]) < 900, "a header line has 998 octets"


def test_other_mail_carries_none():
    for kind in ("", "receipt", "password_reset"):
        assert unsubscribe.headers_for(emails.enqueue(**MAIL | {"email_type": kind})) == ()


def test_bulk_mail_to_several_carries_none_since_nobody_may_unsubscribe_a_neighbour():
    assert unsubscribe.headers_for(emails.enqueue(**MAIL, cc=["bob@example.com"])) == ()


def test_a_mail_program_unsubscribes_with_one_post(path: str, stranger: Client):
    response = stranger.post(path, {"List-Unsubscribe": "One-Click"})
    assert response.status_code == 200
    assert not response.cookies
    row = Suppression.objects.get()
    assert (row.address, row.scope, row.cause) == ("anna@example.com", "newsletter", "unsubscribe")
    assert row.message_id is not None
    assert suppressions.applies(suppressions.Block(row.scope, row.cause), types.NEWSLETTER)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        ('--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
         "multipart/form-data; boundary=b"),
        ("broken", "multipart/form-data"),
        ("x" * 3_000_000, "application/x-www-form-urlencoded"),
        ("", "text/plain"),
        ("%ff=%fe", "application/x-www-form-urlencoded; charset=utf-8"),
    ],
)  # fmt: skip
def test_any_way_of_posting_counts(path: str, stranger: Client, body: str, content_type: str):
    assert stranger.post(path, body, content_type=content_type).status_code == 200
    assert stopped() == {"newsletter"}


def test_a_look_changes_nothing(path: str, stranger: Client):
    for method in ("get", "head"):
        response = getattr(stranger, method)(path)
        assert response.status_code == 200
    assert stopped() == set()
    page = stranger.get(path).content.decode()
    assert "anna@example.com" in page
    assert '<form method="post">' in page
    assert "<script" not in page


def test_the_button_for_all_such_mail_stops_all_bulk_mail(path: str, stranger: Client):
    stranger.post(path, {"scope": "bulk"})
    assert stopped() == {"bulk"}


def test_posting_twice_is_as_good_as_once(path: str, stranger: Client):
    assert [stranger.post(path).status_code for _ in range(2)] == [200, 200]
    assert Suppression.objects.count() == 1


def test_other_methods_are_refused(path: str, stranger: Client):
    assert {getattr(stranger, method)(path).status_code for method in ("put", "delete", "patch")} == {405}
    assert stopped() == set()


def test_the_link_does_not_travel_further(path: str, stranger: Client):
    response = stranger.get(path)
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["X-Robots-Tag"] == "noindex"


def test_a_link_that_is_not_ours_does_nothing(path: str, stranger: Client):
    token = path.split("/")[2]
    value, _, signature = token.rpartition(".")
    forged = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        value,
        f"{value}x.{signature}",
        f"{signature}.{signature}",
        "x" * 5000,
        signing.Signer(salt="another", sep=".").sign(value),
        unsubscribe._signer().sign("bm90IGpzb24"),
    ]
    for each in forged:
        response = stranger.post(f"/unsubscribe/{each}/")
        assert response.status_code == 404, each
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    "address", ["a@example.com", "ünï@example.com", '"a b"@example.com', "x" * 64 + "@" + "d" * 60 + ".example"]
)
def test_any_address_survives_the_link(address: str, stranger: Client):
    link = Link(address=address, kind="newsletter", message_id=7)
    url = unsubscribe.url_for(link)
    assert re.fullmatch(r"http://localhost:8000/unsubscribe/[A-Za-z0-9_.-]+/", url)
    assert unsubscribe.read(url.split("/")[4]) == link
    assert stranger.post(url.removeprefix("http://localhost:8000")).status_code == 200


def test_the_link_still_works_when_the_key_was_changed(path: str, stranger: Client, settings: Settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    assert stranger.post(path).status_code == 200
    assert stopped() == {"newsletter"}
