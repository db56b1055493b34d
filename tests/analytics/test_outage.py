"""The database answers nothing at all: who held a pass still sees the last figures, from disk; nobody else sees any."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from analytics import fuse, mirror, outage, rollups, stats
from analytics.models import Campaign, QueryStat
from tests.analytics.proxy import Door
from tests.analytics.test_failures import numbers, states
from tests.analytics.world import campaign, event, person, tell, within
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _whole_fuse(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.VAR_DIR = tmp_path
    fuse.FUSE.succeeded()
    stats._waiting.clear()
    yield
    fuse.FUSE.succeeded()


@pytest.fixture
def anna() -> User:
    return person("anna")


@pytest.fixture
def spring(anna: User) -> Campaign:
    of = campaign(anna, name="Spring")
    now = timezone.now()
    tell(of, *[event(of, at=now) for _ in range(41)], now=now)
    return of


@pytest.fixture
def unreachable() -> Iterator[Callable[[bool], None]]:
    """`unreachable(True)` takes the database away from this process, `unreachable(False)` brings it back."""
    known = dict(connection.settings_dict)

    def away(yes: bool) -> None:
        connection.close()
        if not yes:
            connection.settings_dict.update(known)
        elif connection.vendor == "sqlite":
            connection.settings_dict["NAME"] = "/nowhere/there.sqlite3"
        else:
            connection.settings_dict.update({"HOST": "127.0.0.1", "PORT": "9"})

    yield away
    away(False)


def page_of(client: Client, of: Campaign) -> Any:
    return client.get(f"/analytics/campaigns/{of.pk}/")


def test_the_last_figures_stay_on_the_page(
    client: Client, anna: User, spring: Campaign, unreachable: Callable[[bool], None]
):
    client.force_login(anna)
    good = page_of(client, spring).text
    assert set(states(good).values()) == {"fresh", "empty"}
    unreachable(True)
    with within(300, statements=False):
        answer = page_of(client, spring)
    assert answer.status_code == 200
    assert numbers(answer.text) == numbers(good)
    assert set(states(answer.text).values()) == {"saved"}
    assert "Our database is not answering." in answer.text
    assert "Some figures are delayed." in answer.text
    assert "Nothing has been lost" not in answer.text, "we cannot know that now"
    assert client.get(f"/analytics/campaigns/{spring.pk}/panels/delivery/").status_code == 200
    assert client.get(f"/analytics/campaigns/{spring.pk}/banner/").status_code == 200
    assert ",41,count," in client.get(f"/analytics/campaigns/{spring.pk}/panels/delivery.csv").text
    assert client.post(f"/analytics/campaigns/{spring.pk}/refresh/").status_code == 302
    unreachable(False)
    fuse.FUSE.succeeded()
    rollups.refresh(now=timezone.now())
    assert "Our database" not in page_of(client, spring).text
    stats.flush(at_once=True)
    lost = QueryStat.objects.filter(outcome="offline", panel="spend").aggregate(n=Sum("count"), quick=Sum("le_50"))
    assert lost == {"n": 2, "quick": 0}, "the page and the banner: failures, and none of them a quick answer"
    assert QueryStat.objects.filter(outcome="seen_saved", panel="spend").exists()


def test_the_overview_too(client: Client, anna: User, spring: Campaign, unreachable: Callable[[bool], None]):
    client.force_login(anna)
    page_of(client, spring)
    client.get("/analytics/")
    unreachable(True)
    answer = client.get("/analytics/")
    assert answer.status_code == 200
    assert "Spring" in answer.text
    assert "41" in numbers(answer.text)


def test_the_api_gives_a_pass_s_holder_the_saved_figures_and_everybody_else_503(
    client: Client, anna: User, spring: Campaign, unreachable: Callable[[bool], None]
):
    """Also a caller with a session's cookie, whom the logging of requests would ask the database about."""
    client.force_login(anna)
    good = page_of(client, spring)
    program, stranger, nobody = Program(user=anna), Client(), Client()
    stranger.force_login(person("stranger"))
    stranger.get("/analytics/")
    nobody.cookies["sessionid"] = "x" * 32
    figures = f"/api/v1/campaigns/{spring.pk}/panels/"
    unreachable(True)
    answer = client.get(f"{figures}delivery/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    told = answer.json()
    assert (told["state"], told["source"], told["problem"]["code"]) == ("saved", "snapshot", "offline")
    assert f"{told['data']['figures'][0]['value']}" == numbers(good.text)[0] == "41"
    assert answer.headers["Cache-Status"] == "panels; hit; detail=offline"
    assert stranger.get(figures).status_code == 404
    for refused in (
        nobody.get(figures),
        nobody.get(f"{figures}delivery/"),
        client.post(f"/api/v1/campaigns/{spring.pk}/refresh/"),
        client.get("/api/v1/emails/"),
        client.post("/api/v1/events/", {"events": []}, content_type="application/json"),
        program.get(figures),
        program.post("/api/v1/events/", {"events": []}),
    ):
        assert (refused.status_code, problem(refused)["code"]) == (503, "unavailable")
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert client.get("/healthz").status_code == 200, "a process that lives is not restarted for its database"
    page = client.get("/admin/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
    assert "Our database is not answering. Please try again" in page.text


def test_a_database_that_fails_behind_the_door_leaves_the_saved_figures(client: Client, anna: User, spring: Campaign):
    """It said who is there, and then not even snapshots can be read."""
    client.force_login(anna)
    good = numbers(page_of(client, spring).text)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE analytics_panelsnapshot RENAME TO analytics_elsewhere")
    try:
        page = page_of(client, spring)
        told = client.get(f"/api/v1/campaigns/{spring.pk}/panels/delivery/")
        listed = client.get("/analytics/")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE analytics_elsewhere RENAME TO analytics_panelsnapshot")
    assert (page.status_code, numbers(page.text), set(states(page.text).values())) == (200, good, {"saved"})
    assert (told.status_code, told.json()["state"]) == (200, "saved")
    assert (listed.status_code, "Spring" in listed.text) == (200, True)


def test_nobody_else_is_let_in(client: Client, anna: User, spring: Campaign, unreachable: Callable[[bool], None]):
    client.force_login(anna)
    page_of(client, spring)
    stranger, member, logged_out = Client(), Client(), Client()
    stranger.force_login(person("stranger"))
    stranger.get("/analytics/")
    member.force_login(person("member"))
    # A pass is bound to its session: taken over into another one it is worth nothing.
    member.cookies[outage.COOKIE] = client.cookies[outage.COOKIE].value
    logged_out.force_login(anna)
    page_of(logged_out, spring)
    logged_out.logout()
    unreachable(True)
    assert page_of(stranger, spring).status_code == 404
    answer = page_of(member, spring)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Spring" not in answer.text
    assert page_of(logged_out, spring).status_code in (302, 503)
    assert page_of(Client(), spring).status_code == 302
    forged = Client()
    forged.cookies["sessionid"], forged.cookies[outage.COOKIE] = "x" * 32, "eyJ1IjoxLCJzIjp0cnVlfQ:1abc:sig"
    assert page_of(forged, spring).status_code == 503


def test_a_member_who_was_removed_is_not_on_the_list(spring: Campaign, anna: User, client: Client):
    from analytics import header

    mirror.write_header(header.of(spring), allowed=[anna.pk], now=timezone.now())
    assert mirror.read_header(spring.pk, user_id=anna.pk, staff=False)
    assert mirror.read_header(spring.pk, user_id=anna.pk + 1, staff=False) is None


def test_a_spoilt_file_is_no_copy(spring: Campaign, settings: Any):
    folder = Path(settings.VAR_DIR) / "analytics" / str(spring.pk)
    folder.mkdir(parents=True, exist_ok=True)
    for text in ("", "{", "[]", '{"payload": {}}', '{"payload": {"campaign": 999}}', "\xff"):
        (folder / "k.json").write_bytes(text.encode("latin-1"))
        (folder / "campaign.json").write_bytes(text.encode("latin-1"))
        assert mirror.read(spring.pk, "k") is None
        assert mirror.read_header(spring.pk, user_id=1, staff=True) is None


def test_copies_are_for_this_account_alone(client: Client, anna: User, spring: Campaign, settings: Any):
    client.force_login(anna)
    page_of(client, spring)
    folder = Path(settings.VAR_DIR) / "analytics" / str(spring.pk)
    assert folder.stat().st_mode & 0o77 == 0
    assert all(path.stat().st_mode & 0o77 == 0 for path in folder.glob("*.json"))
    assert len(list(folder.glob("*.json"))) == 10
    assert not list(folder.glob("*.new"))


def test_a_full_disk_costs_the_copy_alone(client: Client, anna: User, spring: Campaign, settings: Any, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    settings.VAR_DIR = tmp_path / "file"
    client.force_login(anna)
    assert set(states(page_of(client, spring).text).values()) == {"fresh", "empty"}


def test_a_writer_that_takes_long_keeps_no_reader_waiting(client: Client, anna: User, spring: Campaign):
    """On SQLite nobody else can write meanwhile; a page that cannot note its snapshots is shown all the same."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's writers do not wait for each other")
    import sqlite3

    client.force_login(anna)
    good = page_of(client, spring).text
    rollups.refresh(now=timezone.now())
    other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        begun = time.monotonic()
        page = page_of(client, spring)
        assert time.monotonic() - begun < 4
        assert page.status_code == 200
        assert numbers(page.text) == numbers(good)
        assert "Our database is not answering" not in page.text
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert set(states(page_of(client, spring).text).values()) == {"fresh", "empty"}


@pytest.mark.slow
def test_a_database_that_says_nothing_is_not_waited_for(client: Client, anna: User, spring: Campaign):
    """It takes the call and never answers: without our own watch a page would wait for ever."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no line that could fall silent")
    known = dict(connection.settings_dict)
    door = Door(known["HOST"] or "127.0.0.1", int(known["PORT"] or 5432))
    connection.close()
    connection.settings_dict.update({"HOST": "127.0.0.1", "PORT": str(door.port)})
    try:
        client.force_login(anna)
        good = page_of(client, spring).text
        assert "41" in numbers(good)
        door.silent()
        for limit in (9, 9, 9):
            begun = time.monotonic()
            answer = page_of(client, spring)
            assert answer.status_code == 200
            assert time.monotonic() - begun < limit
            assert numbers(answer.text) == numbers(good)
    finally:
        connection.close()
        connection.settings_dict.update(known)
        door.close()
