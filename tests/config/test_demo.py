"""The mail catcher: a real SMTP server that misbehaves on demand, and its pages."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from config.demo.catcher import mailbox_file
from config.demo.mailbox import KEPT, MODES, Mailbox, now
from config.up.plan import free_port
from tests.conftest import ROOT

pytestmark = pytest.mark.once


def letter(subject: str = "Hello") -> EmailMessage:
    """A mail with everything the page shows."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.com>", "anna@example.com", subject
    mail.set_content("Dear Anna & co")
    mail.add_alternative('<h1>Dear Anna</h1><img src="cid:logo"><script>alert(1)</script>', subtype="html")
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(b"GIF89a", maintype="image", subtype="gif", cid="<logo>")
    mail.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="../in\u00a0voice <1>.pdf")
    return mail


@pytest.fixture
def catcher(tmp_path: Path, settings: Settings) -> Iterator[int]:
    """The catcher in a process of its own; its port."""
    settings.VAR_DIR, settings.ROOT_URLCONF = tmp_path, "tests.config.demo_urls"
    port = free_port(near=0)
    line = [sys.executable, "-m", "config.demo.catcher", "--port", str(port), "--var", str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert f"listens on 127.0.0.1:{port}" in process.stdout.readline()
    yield port
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """The file it writes."""
    return Mailbox(mailbox_file(tmp_path))


def send(port: int, mail: EmailMessage) -> None:
    """Send it as any program would."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as server:
        server.send_message(mail)


@pytest.mark.django_db
def test_a_mail_is_caught_and_shown(catcher: int, mailbox: Mailbox, client: Client):
    """List, letter, frame, attachment and source; nothing of a stranger's runs on our pages."""
    send(catcher, letter("Grüße ✓ <b>"))
    [mail] = mailbox.page()
    assert (mail.recipients, mail.subject, mail.answered) == (["anna@example.com"], "Grüße ✓ <b>", True)

    assert "Grüße ✓ &lt;b&gt;" in client.get("/demo/mail/").text
    page = client.get(f"/demo/mail/{mail.pk}/")
    assert "Dear Anna &amp; co" in page.text
    assert "<script>alert" not in page.text
    frame = client.get(f"/demo/mail/{mail.pk}/html/")
    assert 'src="data:image/gif;base64,' in frame.text
    assert "sandbox;" in frame.headers["Content-Security-Policy"]
    assert "script-src" not in frame.headers["Content-Security-Policy"]
    saved = client.get(f"/demo/mail/{mail.pk}/attachments/1/")
    assert saved.content == b"%PDF-1"
    assert saved.headers["Content-Disposition"] == 'attachment; filename="invoice_1.pdf"'
    assert b"Subject: =?utf-8?" in client.get(f"/demo/mail/{mail.pk}/source/").content
    for missing in ("999/", f"{mail.pk}/attachments/9/", f"{10**30}/"):
        assert client.get(f"/demo/mail/{missing}").status_code == 404


@pytest.mark.parametrize(
    ("mode", "error", "kept"),
    [
        ("refuse_now", smtplib.SMTPRecipientsRefused, 0),
        ("refuse_always", smtplib.SMTPRecipientsRefused, 0),
        ("drop", smtplib.SMTPServerDisconnected, 0),
        ("drop_after_data", smtplib.SMTPServerDisconnected, 1),
    ],
)
@pytest.mark.django_db
def test_it_misbehaves_as_told(
    catcher: int, mailbox: Mailbox, client: Client, mode: str, error: type[smtplib.SMTPException], kept: int
):
    """The switch works at once, and back again."""
    assert client.post("/demo/mail/mode/", {"mode": mode}).status_code == 302
    with pytest.raises(error) as refused:
        send(catcher, letter())
    if isinstance(refused.value, smtplib.SMTPRecipientsRefused):
        code = refused.value.recipients["anna@example.com"][0]
        assert code == {"refuse_now": 451, "refuse_always": 550}[mode]
    assert len(mailbox.page()) == kept
    assert mailbox.state().turned_away == 1 - kept
    assert MODES[mode] in client.get("/demo/mail/").text
    client.post("/demo/mail/mode/", {"mode": "accept"})
    send(catcher, letter())
    assert len(mailbox.page()) == kept + 1


def test_only_the_newest_are_kept(mailbox: Mailbox):
    """A demo that runs for weeks fills no disk."""
    for number in range(KEPT + 5):
        mailbox.keep(sender="", recipients=["a@b"], subject=str(number), raw=b"", answered=True, now=now())
    assert mailbox.count() == KEPT
    first = mailbox.page()
    assert first[0].subject == str(KEPT + 4)
    assert mailbox.page(before=first[-1].pk)[0].pk == first[-1].pk - 1


@pytest.mark.django_db
def test_acts_are_posts(mailbox: Mailbox, client: Client, tmp_path: Path, settings: Settings):
    """Neither a link nor a foreign page changes what the catcher does."""
    settings.VAR_DIR, settings.ROOT_URLCONF = tmp_path, "tests.config.demo_urls"
    assert client.get("/demo/mail/mode/?mode=drop").status_code == 405
    assert client.post("/demo/mail/mode/", {"mode": "explode"}).status_code == 400
    assert Client(enforce_csrf_checks=True).post("/demo/mail/empty/").status_code == 403
    assert mailbox.state().mode == "accept"
    mailbox.keep(sender="", recipients=["a@b"], subject="x", raw=b"\xff\x00: \n\nodd", answered=True, now=now())
    assert client.get("/demo/mail/1/").status_code == 200
    assert client.post("/demo/mail/empty/").status_code == 302
    assert "No mail yet" in client.get("/demo/mail/?before=x").text


@pytest.mark.django_db
def test_the_pages_exist_only_in_the_demo(client: Client):
    """Everybody's mail in the open: never in production."""
    assert client.get("/demo/mail/").status_code == 404
