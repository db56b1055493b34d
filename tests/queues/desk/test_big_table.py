"""The desk on a big table: as few and as bounded questions as on a small one, and none that takes long."""

from __future__ import annotations

import re

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queues.desk import bounded, seeding
from queues.email.models import EmailMessage
from queues.engine.failure_groups import FailureGroup
from queues.engine.states import Status
from tests.queues.desk.people import client_of

pytestmark = pytest.mark.django_db

MAILS, GROUPS = "/admin/queues/emailmessage/", "/admin/queues/failuregroup/"
ROWS = 250_000
SEEDED = 62_500
STATEMENTS = 15
START_STATEMENTS = 12
"""Of all queues together; what other rooms add to the start page has the rest."""


def grow(times: int) -> None:
    """Double the table so often, in the database itself; every copy has its own key."""
    names = [field.column for field in EmailMessage._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(f'"{name}"' for name in names)
    for number in range(times):
        copied = ", ".join(
            f"\"{name}\" || '.{number}'" if name in ("idempotency_key", "message_id") else f'"{name}"' for name in names
        )
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO queues_emailmessage ({columns}) SELECT {copied} FROM queues_emailmessage")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queues_emailmessage")


def asked(client: Client, address: str) -> list[dict[str, str]]:
    """The statements of a page, but for the four that say who asks, and those that set time limits and savepoints."""
    client.get(address)  # what is cached once a process
    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
    assert response.status_code == 200, address
    idle = re.compile(r"BEGIN|COMMIT|(RELEASE )?SAVEPOINT|SELECT set_config|SELECT current_setting|SET ")
    who = re.compile(r'FROM "(django_session|auth_user|auth_permission)"')
    return [query for query in queries if not (idle.match(query["sql"]) or who.search(query["sql"]))]


@pytest.mark.slow
@pytest.mark.django_db(
    transaction=True
)  # emptied afterwards: what a rollback leaves misleads the planner in other tests
def test_every_page_asks_little_of_a_large_table():
    if connection.vendor != "postgresql":
        pytest.skip("a quarter of a million rows are PostgreSQL's")
    for _ in seeding.seed(rows=SEEDED, now=timezone.now()):
        pass
    grow(2)
    client = client_of("operator")
    group = FailureGroup.objects.order_by("pk").first()
    assert group is not None
    item = EmailMessage.objects.filter(status=Status.DEAD_LETTER).first()
    assert item is not None
    cursor = EmailMessage.objects.order_by("-pk").values_list("pk", flat=True)[ROWS // 2]
    report = []
    for address in [
        "/admin/",
        MAILS,
        f"{MAILS}?after={cursor}",
        f"{MAILS}?status=dead_letter",
        f"{MAILS}?status=waiting",
        f"{MAILS}?q=status:dead_letter+error:%22smtp+401%22+age>1h",
        f"{MAILS}?q=fingerprint:{group.fingerprint}",
        f"{MAILS}?q={item.recipient}",
        f"{MAILS}?q=key:{item.idempotency_key}",
        f"{MAILS}?q={item.message_id}",
        f"{MAILS}?q=to:*@nowhere.example",
        f"{MAILS}?q=to:*@mail7.example",
        f"{MAILS}?q=type:nosuch",
        f"{MAILS}?q=error:nosuch",
        f"{MAILS}?q=age>20d",
        f"{MAILS}?q=dead>3d",
        f"{MAILS}?q=is:uncertain",
        f"{MAILS}?purged=1",
        f"{MAILS}?status=cancelled",
        f"{MAILS}live/?ids={item.pk}&top={item.pk}&status=dead_letter",
        f"{MAILS}{item.pk}/change/",
        f"{MAILS}act/redrive/?status=dead_letter",
        GROUPS,
        f"{GROUPS}?state=all",
        f"{GROUPS}{group.pk}/change/",
    ]:
        statements = asked(client, address)
        report.append((address, len(statements)))
        for query in statements:
            sql = query["sql"]
            if "queues_emailmessage" in sql or "queues_attempt" in sql:
                keyed = re.search(r'"id" = \d+', sql)
                by_cause = "fingerprint" in sql and "dead_at" in sql
                assert keyed or by_cause or "LIMIT" in sql or sql.startswith("EXPLAIN"), sql
            assert "DISTINCT" not in sql, sql
            assert not re.search(r"OFFSET [1-9]", sql), sql
    allowed = {"/admin/": START_STATEMENTS}
    assert [entry for entry in report if entry[1] > allowed.get(entry[0], STATEMENTS)] == []


def test_seeding_makes_what_it_says():
    assert list(seeding.seed(rows=2500, now=timezone.now())) == [2000, 2500]
    assert EmailMessage.objects.count() == 2500
    dead = EmailMessage.objects.filter(status=Status.DEAD_LETTER)
    assert 5 <= dead.count() <= 60
    assert FailureGroup.objects.count() == seeding.CAUSES
    known = set(FailureGroup.objects.values_list("fingerprint", flat=True))
    assert set(dead.values_list("fingerprint", flat=True)) <= known
    assert not EmailMessage.objects.due(now=timezone.now()).exists(), "nobody sends them by mistake"


def test_seeding_is_refused_among_mails(capsys: pytest.CaptureFixture[str]):
    call_command("seed_queues", rows=10)
    with pytest.raises(CommandError, match="--among"):
        call_command("seed_queues", rows=10)
    call_command("seed_queues", rows=10, among=True)
    assert EmailMessage.objects.count() == 20
    assert bounded.count(EmailMessage.objects.all()).number == 20
