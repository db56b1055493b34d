"""Alerts at the desk: the list by urgency, one alert's story, and acts that ask for a reason and are recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queues.desk import alert_acts
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.monitor.models import Alert, AlertDelivery, Silence
from tests.queues.desk.people import client_of, person

pytestmark = pytest.mark.django_db
LIST = "/admin/queues/alert/"


def alert(**fields: object) -> Alert:
    """One that fires."""
    now = timezone.now()
    basics = {"rule": "queue_behind", "scope": "email", "severity": "page", "state": "firing", "words": "It waits."}
    times = {"pending_at": now - timedelta(minutes=5), "firing_at": now - timedelta(minutes=4), "evaluated_at": now}
    return Alert.objects.create(**(basics | times | fields))


def test_nothing_fires():
    page = client_of("observer").get(LIST).content.decode()
    assert "Nothing fires. Every rule is looked at each minute." in page


def test_the_list_has_what_is_open_the_urgent_first():
    """A page nobody has taken, then a ticket, then what somebody looks after; what is over is a tab away."""
    alert(rule="dead_letters", severity="ticket", words="ticket-words")
    alert(rule="no_success", state="acknowledged", words="taken-words")
    alert(words="page-words")
    alert(rule="clock_skew", state="resolved", resolved_at=timezone.now(), words="over-words")
    page = client_of("observer").get(LIST).content.decode()
    places = [page.index(words) for words in ("page-words", "ticket-words", "taken-words")]
    assert places == sorted(places)
    assert "over-words" not in page
    assert "over-words" in client_of("observer").get(f"{LIST}?state=resolved").content.decode()
    assert "Due work waits too long" in page


def test_one_alert_tells_its_story():
    """What to do, since when, and what was told to whom with which result."""
    row = alert(values={"path": "/admin/queues/emailmessage/", "seconds": 361, "capability": "E-mail"})
    now = timezone.now()
    AlertDelivery.objects.create(
        key="a", alert=row, kind="firing", channel="mail", to="ops@example.com", created_at=now, last_words="450 <b>no"
    )
    page = client_of("operator").get(f"{LIST}{row.pk}/change/").content.decode()
    for words in ("Look at the workers", "heartbeats", "361", "Tried in vain", "450 &lt;b&gt;no", "ops@example.com"):
        assert words in page
    assert f'href="{LIST}{row.pk}/acknowledge/"' in page
    assert "acknowledge/" not in client_of("observer").get(f"{LIST}{row.pk}/change/").content.decode()
    assert client_of("operator").get(f"{LIST}{10**20}/change/").status_code == 404


def test_acknowledging_asks_for_a_reason_and_is_recorded():
    """A GET changes nothing; an empty reason is refused; twice is told."""
    row, client = alert(), client_of("operator")
    address = f"{LIST}{row.pk}/acknowledge/"
    assert client.get(address).status_code == 200
    assert client.post(address, {"reason": " "}).status_code == 400
    assert Alert.objects.get().state == "firing"
    assert client.post(address, {"reason": "on it"}).status_code == 302
    found = Alert.objects.get()
    assert (found.state, found.acknowledged_by.username) == ("acknowledged", "operator")
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.plan, entry.reason) == ("acknowledge alert", "queue_behind email", "on it")
    again = client.post(address, {"reason": "on it"}, follow=True).content.decode()
    assert "Nothing was done" in again
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("what", "rule", "scope"), [("this", "queue_behind", "email"), ("rule", "queue_behind", ""), ("all", "", "")]
)
def test_silencing_for_a_time_with_a_reason(what: str, rule: str, scope: str):
    """Of this scope, of the rule, of everything; it shows on the list, and is ended with a reason, too."""
    row, client = alert(), client_of("operator")
    address = f"{LIST}{row.pk}/silence/"
    assert client.post(address, {"reason": "x", "what": what, "hours": "5"}).status_code == 400, "not on offer"
    assert client.post(address, {"reason": "we move house", "what": what, "hours": "4"}).status_code == 302
    made = Silence.objects.get()
    assert (made.rule, made.scope, made.reason, made.created_by.username) == (rule, scope, "we move house", "operator")
    assert timedelta(hours=3.9) < made.until - timezone.now() < timedelta(hours=4.1)
    page = client.get(LIST).content.decode()
    assert "Firing, silenced" in page
    assert "we move house" in page
    assert client.post(f"/admin/queues/silence/{made.pk}/end/", {"reason": "moved"}).status_code == 302
    assert Silence.objects.get().ended_at is not None
    assert Alert.objects.get().silenced_until is None
    assert list(LedgerEntry.objects.order_by("pk").values_list("act", flat=True)) == ["silence alerts", "end silence"]


@pytest.mark.parametrize("act", ["acknowledge", "silence"])
def test_who_may_only_look_is_refused_and_that_is_recorded(act: str):
    """Nothing happens but the entry."""
    row = alert()
    said = {"reason": "me", "what": "all", "hours": "1"}
    assert client_of("observer").post(f"{LIST}{row.pk}/{act}/", said).status_code == 403
    assert (Alert.objects.get().state, Silence.objects.count()) == ("firing", 0)
    assert LedgerEntry.objects.get().act == f"refused {act} alert"


def test_the_acts_themselves_ask_for_the_permission():
    """Not only their pages: whatever calls them next."""
    row, now = alert(), timezone.now()
    observer = Actor.of(person("observer"))
    said: dict[str, Any] = {"actor": observer, "reason": "x", "now": now}
    with pytest.raises(PermissionDenied):
        alert_acts.acknowledge(alert_id=row.pk, **said)
    with pytest.raises(PermissionDenied):
        alert_acts.silence(rule="", scope="", until=now + timedelta(hours=1), **said)
    with pytest.raises(PermissionDenied):
        alert_acts.end_silence(silence_id=1, **said)
    assert (Alert.objects.get().state, Silence.objects.count()) == ("firing", 0)
