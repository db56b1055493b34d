"""Who sees what: every page, panel, export and API call, for owner, member, stranger, staff and anonymous."""

from __future__ import annotations

import re
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from analytics import fuse
from analytics.models import Campaign
from analytics.panels.page import PANELS
from queues.desk import tokens
from tests.analytics.world import NOW, UNIT, campaign, event, give, person, tell

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SECRET = 711
"""What the campaign spent: no stranger's answer may hold it, in euros or micros, or its name."""
SPENT = re.compile(rf"(?<![\w-]){SECRET}(0{{6}})?(?![\w-])")  # not within a random id


@pytest.fixture(autouse=True)
def _stopped() -> Any:
    fuse.FUSE.succeeded()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def people() -> dict[str, User | None]:
    staff = give(person("staff", is_staff=True), "view_campaign")
    clerk = person("clerk", is_staff=True)
    gone = person("gone")
    return {
        "anonymous": None,
        "owner": person("owner"),
        "member": person("member"),
        "stranger": person("stranger"),
        "staff": staff,
        "clerk": clerk,
        "gone": gone,
    }


@pytest.fixture
def secret(people: dict[str, Any]) -> Campaign:
    of = campaign(people["owner"], name="Hush-hush")
    of.members.add(people["member"], people["gone"])
    tell(of, event(of, cost_micros=SECRET * UNIT))
    of.members.remove(people["gone"])
    return of


MAY = {"owner", "member", "staff"}


def addresses(pk: int) -> dict[str, str]:
    """One of every address, by the name of its route."""
    found = {
        "campaign": f"/analytics/campaigns/{pk}/",
        "banner": f"/analytics/campaigns/{pk}/banner/",
        "api-panels": f"/api/v1/campaigns/{pk}/panels/",
    }
    for name in PANELS:
        found[f"panel {name}"] = f"/analytics/campaigns/{pk}/panels/{name}/"
        found[f"csv {name}"] = f"/analytics/campaigns/{pk}/panels/{name}.csv"
        found[f"api-panel {name}"] = f"/api/v1/campaigns/{pk}/panels/{name}/"
    return found


def test_no_address_is_forgotten():
    """A new one needs a line above."""
    known = {name.split()[0] for name in addresses(1)} | {"overview", "refresh", "api-refresh", "api-events"}
    from analytics import urls

    there = {pattern.name for pattern in urls.PAGES} | {
        pattern.name for pattern in urls.urlpatterns if getattr(pattern, "name", None)
    }
    assert there == known
    assert get_resolver().reverse_dict


@pytest.mark.parametrize("who", ["anonymous", "owner", "member", "stranger", "staff", "clerk", "gone"])
def test_the_matrix(people: dict[str, Any], secret: Campaign, who: str):
    client = Client()
    if people[who]:
        client.force_login(people[who])
    for name, address in addresses(secret.pk).items():
        answer = client.get(address)
        if who in MAY:
            assert answer.status_code == 200, (name, answer.content[:500])
            assert SPENT.search(answer.text) or "spend" not in name, "else nothing is shown by its absence below"
            continue
        assert b"Hush" not in answer.content
        assert not SPENT.search(answer.text)
        if who == "anonymous":
            expected = 401 if address.startswith("/api/") else 302
            assert answer.status_code == expected, name
        else:
            assert answer.status_code == 404, name
            missing = client.get(address.replace(f"/{secret.pk}/", "/999999/"))
            assert missing.status_code == 404, "as if there were none"


@pytest.mark.parametrize("who", ["anonymous", "owner", "stranger", "staff", "gone"])
def test_refreshing(people: dict[str, Any], secret: Campaign, who: str):
    client = Client()
    if people[who]:
        client.force_login(people[who])
    page, api = f"/analytics/campaigns/{secret.pk}/refresh/", f"/api/v1/campaigns/{secret.pk}/refresh/"
    assert client.get(page).status_code == 405
    codes = (client.post(page).status_code, client.post(api).status_code)
    wanted = {"anonymous": (302, 401), "stranger": (404, 404), "gone": (404, 404)}.get(who, (302, 429))
    assert codes == wanted, "the second within 15 s is told to wait"


def test_the_overview_shows_mine_alone(people: dict[str, Any], secret: Campaign):
    other = campaign(people["stranger"], name="Other")
    for who, wanted in {
        "owner": (True, False),
        "member": (True, False),
        "stranger": (False, True),
        "staff": (True, True),
        "clerk": (False, False),
        "gone": (False, False),
    }.items():
        client = Client()
        client.force_login(people[who])
        page = client.get("/analytics/").content
        assert (b"Hush" in page, b"Other" in page) == wanted, who
    assert Client().get("/analytics/").status_code == 302
    assert other.pk


def test_a_foreign_cursor_tells_nothing(people: dict[str, Any], secret: Campaign):
    """`after` of a campaign that is not theirs is as good as none: else names could be found out by halving."""
    campaign(people["stranger"], name="Aaa")
    client = Client()
    client.force_login(people["stranger"])
    assert b"Aaa" in client.get(f"/analytics/?after={secret.pk}").content


def test_a_program_sees_what_its_user_sees(people: dict[str, Any], secret: Campaign):
    for who, code in {"owner": 200, "stranger": 404}.items():
        _token, key = tokens.issue(user=people[who], name="x", now=NOW)
        client = Client(headers={"Authorization": f"Bearer {key}"})
        assert client.get(f"/api/v1/campaigns/{secret.pk}/panels/").status_code == code


def test_a_locked_account_sees_nothing(people: dict[str, Any], secret: Campaign):
    client = Client()
    client.force_login(people["owner"])
    people["owner"].is_active = False
    people["owner"].save()
    assert client.get(f"/analytics/campaigns/{secret.pk}/").status_code == 302


HOSTILE = [
    "days=abc",
    "days=-1",
    "days=99999999999999999999",
    "from=2026-13-45&to=x",
    "from=%00&to=%00",
    "breakdown.by=password",
    "breakdown.by=country'%20OR%201=1--",
    "breakdown.sort=id",
    "creatives.after=1.%27",
    "creatives.after=999999999999999999999999.x",
    "creatives.sort=__class__",
    "breakdown.by=%C3%A4%00",
]


@pytest.mark.parametrize("query", HOSTILE)
def test_hostile_addresses_are_refused_in_words(people: dict[str, Any], secret: Campaign, query: str):
    client = Client()
    client.force_login(people["owner"])
    panel = "creatives" if "creatives" in query else "breakdown"
    for address in (f"/analytics/campaigns/{secret.pk}/", f"/analytics/campaigns/{secret.pk}/panels/{panel}/"):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == 422, (address, answer.content[:300])
        assert b"Traceback" not in answer.content
    answer = client.get(f"/api/v1/campaigns/{secret.pk}/panels/{panel}/?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "range_invalid"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=1+1", "{{ 7*191 }}"])
def test_hostile_names_are_text_only(people: dict[str, Any], text: str):
    of = campaign(people["owner"], name=text)
    of.creatives.filter(key="a").update(name=text)
    tell(of, event(of, creative="a"))
    client = Client()
    client.force_login(people["owner"])
    for address in ("/analytics/", *[value for name, value in addresses(of.pk).items() if "api" not in name]):
        answer = client.get(address)
        if "csv" in address:
            assert not any(cell.startswith("=") for line in answer.text.splitlines() for cell in line.split(","))
        else:
            assert text not in answer.text or not text.startswith(("<", '"'))
            assert "1337" not in answer.text


def test_pages_are_not_kept_by_caches_and_run_no_foreign_script(people: dict[str, Any], secret: Campaign):
    client = Client()
    client.force_login(people["owner"])
    answer = client.get(f"/analytics/campaigns/{secret.pk}/")
    assert "no-store" in answer.headers["Cache-Control"]
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert " style=" not in answer.text
    assert "onclick" not in answer.text
