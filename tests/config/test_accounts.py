"""Log-in, log-out, password reset and the way from "/"."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from queues.email.models import EmailMessage
from queues.engine.states import Priority

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PASSWORD = "a long password"


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna", "anna@example.com", PASSWORD)


@pytest.fixture
def boss() -> User:
    return User.objects.create_user("boss", "boss@example.com", PASSWORD, is_staff=True)


def test_there_is_one_log_in(client: Client):
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/accounts/login/?next=/admin/"
    assert client.get("/")["Location"] == "/accounts/login/?next=/"


def test_logging_in_leads_where_one_was_going(client: Client, boss: User):
    form = {"username": "boss", "password": PASSWORD, "next": "/admin/queues/emailmessage/"}
    assert client.post("/accounts/login/", form)["Location"] == "/admin/queues/emailmessage/"


def test_it_never_leads_to_another_site(client: Client, boss: User):
    form = {"username": "boss", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/accounts/login/", form)["Location"] == "/"


def test_staff_go_to_the_desk_and_customers_to_their_account(client: Client, anna: User, boss: User):
    client.force_login(boss)
    assert client.get("/")["Location"] == "/admin/"
    client.force_login(anna)
    page = client.get("/").content.decode()
    assert "anna@example.com" in page
    assert "To the desk" not in page


def test_a_wrong_password_is_told_and_the_name_kept(client: Client, anna: User):
    page = client.post("/accounts/login/", {"username": "anna", "password": "wrong"}).content.decode()
    assert 'role="alert"' in page
    assert "correct username and password" in page
    assert 'value="anna"' in page
    assert "wrong" not in page


def test_a_customer_at_the_desks_door_is_told_why(client: Client, anna: User):
    client.force_login(anna)
    page = client.get("/admin/", follow=True).content.decode()
    assert "not one of staff" in page


def test_who_is_logged_in_is_not_asked_again(client: Client, boss: User):
    client.force_login(boss)
    assert client.get("/accounts/login/?next=/admin/")["Location"] == "/admin/"


@pytest.mark.parametrize("path", ["/accounts/logout/", "/admin/logout/"])
def test_logging_out_needs_a_post(client: Client, boss: User, path: str):
    client.force_login(boss)
    assert client.get(path).status_code == 405
    assert client.get("/admin/").status_code == 200
    assert client.post(path)["Location"] == "/accounts/login/"
    assert client.get("/admin/").status_code == 302


class TestPasswordReset:
    def ask(self, client: Client, address: str = "anna@example.com", **headers: Any) -> None:
        response = client.post("/accounts/password_reset/", {"email": address}, **headers)
        assert response["Location"] == "/accounts/password_reset/done/"

    def test_the_mail_goes_through_the_queue_as_an_urgent_one(self, client: Client, anna: User, queue_mailer: Any):
        self.ask(client)
        message = EmailMessage.objects.get()
        assert (message.kind, message.priority, message.recipient) == ("password_reset", Priority.URGENT, anna.email)
        assert message.subject == "Set a new password"

    def test_its_link_works_once(self, client: Client, anna: User):
        self.ask(client)
        (link,) = re.findall(r"http://localhost:8000(/accounts/reset/\S+)", str(mail.outbox[0].body))
        page = client.get(link, follow=True)
        form = {"new_password1": "another long one", "new_password2": "another long one"}
        done = client.post(page.redirect_chain[-1][0], form, follow=True)
        assert "You can log in with it now" in done.content.decode()
        anna.refresh_from_db()
        assert anna.check_password("another long one")
        assert "was used before" in Client().get(link, follow=True).content.decode()

    def test_it_leads_to_our_address_whatever_the_request_says(self, client: Client, anna: User, settings: Settings):
        settings.ALLOWED_HOSTS = ["*"]
        self.ask(client, HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="evil.example")
        assert "evil.example" not in str(mail.outbox[0].message())

    @pytest.mark.parametrize("address", ["nobody@example.com", "ANNA@other.example"])
    def test_a_stranger_is_told_the_same_and_gets_nothing(self, client: Client, anna: User, address: str):
        self.ask(client, address)
        assert mail.outbox == []


def test_changing_the_password(client: Client, anna: User):
    client.force_login(anna)
    form = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}
    assert (
        "From now on the new one counts"
        in client.post("/accounts/password_change/", form, follow=True).content.decode()
    )
    assert client.get("/accounts/").status_code == 200


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/password_reset/", "/accounts/password_reset/done/"])
def test_these_pages_have_the_strict_policy(client: Client, path: str):
    response = client.get(path)
    assert "unsafe" not in response["Content-Security-Policy"]
    assert not re.search(r"<(script|style)\b|\sstyle=|\son[a-z]+=", response.content.decode())


class TestErrorPages:
    def test_not_found(self, client: Client):
        response = client.get("/nowhere/")
        assert response.status_code == 404
        assert "There is no such page" in response.content.decode()

    def test_not_permitted(self, client: Client, boss: User):
        client.force_login(boss)
        response = client.get("/admin/queues/emailmessage/")
        assert response.status_code == 403
        assert "lacks the permission" in response.content.decode()

    def test_a_form_without_its_token(self, anna: User):
        response = Client(enforce_csrf_checks=True).post("/accounts/login/", {"username": "anna", "password": PASSWORD})
        assert response.status_code == 403
        assert "Nothing was done" in response.content.decode()

    def test_a_bug_shows_nothing_of_itself(self, boss: User, monkeypatch: pytest.MonkeyPatch):
        def break_down(*_args: Any) -> None:
            raise RuntimeError("secret words")

        monkeypatch.setattr("config.accounts.redirect", break_down)
        client = Client(raise_request_exception=False)
        client.force_login(boss)
        response = client.get("/")
        assert response.status_code == 500
        assert "Something went wrong" in response.content.decode()
        assert "secret" not in response.content.decode()
