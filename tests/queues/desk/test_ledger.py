"""The ledger: written with the act or not at all, never changed, and anything done behind its back is found."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction

from queues.desk import ledger
from queues.desk.ledger import LedgerEntry, LedgerItem
from tests.queues.desk.people import person

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRIGGERS = {
    "sqlite": ("DROP TRIGGER queues_ledger_refuse_update", "DROP TRIGGER queues_ledger_refuse_delete"),
    "postgresql": (
        "SET CONSTRAINTS ALL IMMEDIATE",
        "ALTER TABLE queues_ledgerentry DISABLE TRIGGER queues_ledger_refuse",
    ),
}


def record(act: str = "redrive", **changes: Any) -> LedgerEntry:
    said: dict[str, Any] = {
        "actor": None,
        "actor_name": "anna",
        "reason": "server repaired",
        "queue": "email",
        "items": [3, 4],
        "plan": "all with state 'dead_letter'",
        "result": {"done": 2, "left": {"held by a worker": 1}},
        "request_id": "r-1",
        "now": NOW,
    }
    with transaction.atomic():
        return ledger.record(act=act, **(said | changes))


def behind_its_back(sql: str, *values: Any) -> None:
    """What somebody with the database's password can do: take the triggers away and change a row."""
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)
        cursor.execute(sql, values)


@pytest.mark.django_db
class TestRecord:
    def test_entries_chain_and_verify(self):
        first, second = record(), record("purge")
        assert first.previous == ledger.BEGINNING
        assert second.previous == first.digest
        verdict = ledger.verify()
        assert (verdict.entries, verdict.head, verdict.whole) == (2, second.digest, True)

    def test_an_empty_ledger_is_whole(self):
        assert ledger.verify() == ledger.Verdict(0, ledger.BEGINNING)

    def test_an_item_finds_its_entries_newest_first(self):
        record(items=[1, 2]), record("discard", items=[2]), record("purge", items=[2], queue="webhook")
        assert [entry.act for entry in ledger.of_item(queue="email", item_id=2)] == ["discard", "redrive"]
        assert ledger.of_item(queue="email", item_id=99) == []

    def test_a_long_list_is_capped_and_its_number_kept(self):
        entry = record(items=list(range(1, 1502)))
        assert (len(entry.items), entry.item_count) == (ledger.ITEMS_MAX, 1501)
        assert ledger.verify().whole

    @pytest.mark.parametrize("words", ["nul \x00 byte", "half \ud800 character", "“ünïcode” 🚀 %s {x}", "x" * 5000])
    def test_any_words_are_stored_and_verify(self, words: str):
        entry = record(reason=words, plan=words, actor_name=words, request_id=words)
        entry.refresh_from_db()
        assert len(entry.reason) <= ledger.TEXT_MAX
        assert ledger.verify().whole

    def test_it_must_be_part_of_a_transaction(self, monkeypatch):
        monkeypatch.setattr(connections["default"], "in_atomic_block", False)
        with pytest.raises(transaction.TransactionManagementError, match="transaction of its act"):
            ledger.record(act="x", actor=None, actor_name="x", reason="x", now=NOW)

    def test_a_rolled_back_act_leaves_no_entry(self):
        with transaction.atomic():
            record()
            transaction.set_rollback(True)
        assert not LedgerEntry.objects.exists()

    def test_the_account_may_go_its_name_stays(self):
        user = person("operator")
        entry = record(actor=user, actor_name=user.username)
        user.delete()
        entry.refresh_from_db()
        assert (entry.actor, entry.actor_name) == (None, "operator")
        assert ledger.verify().whole


@pytest.mark.django_db
class TestRefusal:
    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE queues_ledgerentry SET reason = 'another'",
            "UPDATE queues_ledgerentry SET actor_id = NULL, reason = 'another'",
            "UPDATE queues_ledgerentry SET actor_name = 'somebody else', actor_id = NULL",
            "UPDATE queues_ledgerentry SET digest = previous",
            "UPDATE queues_ledgerentry SET at = '2020-01-01 00:00:00+00:00'",
            "DELETE FROM queues_ledgerentry",
        ],
    )
    def test_the_database_refuses(self, sql: str):
        entry = record(actor=person("operator"))
        LedgerItem.objects.all().delete()  # so that it is the trigger that refuses, not the foreign key
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
        entry.refresh_from_db()
        assert entry.reason == "server repaired"

    def test_the_chain_cannot_fork(self):
        record()
        with pytest.raises(DatabaseError), transaction.atomic():
            LedgerEntry.objects.create(at=NOW, actor_name="x", act="x", previous=ledger.BEGINNING, digest="d" * 64)


@pytest.mark.django_db
class TestVerify:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("reason", "another reason"),
            ("actor_name", "somebody else"),
            ("act", "purge"),
            ("queue", "webhook"),
            ("items", "[3, 5]"),
            ("item_count", 3),
            ("plan", ""),
            ("result", '{"done": 3}'),
            ("request_id", "r-2"),
            ("at", "2026-03-01 12:00:00.000001+00:00"),
        ],
    )
    def test_a_changed_column_is_found(self, column: str, value: Any):
        entries = [record(), record(), record()]
        behind_its_back(f"UPDATE queues_ledgerentry SET {column} = %s WHERE id = %s", value, entries[1].pk)
        verdict = ledger.verify()
        assert verdict.broken_at == entries[1].pk
        assert "its own words" in verdict.why

    def test_an_entry_taken_out_is_found(self):
        entries = [record(), record(), record()]
        LedgerItem.objects.all().delete()
        behind_its_back("DELETE FROM queues_ledgerentry WHERE id = %s", entries[1].pk)
        assert ledger.verify().broken_at == entries[2].pk

    def test_an_entry_forged_without_the_key_is_found(self, settings):
        first = record()
        settings.LEDGER_KEY = "guessed"
        forged = record()
        settings.LEDGER_KEY = "for-tests-only-0123456789-0123456789-0123456789-abc"
        assert forged.previous == first.digest
        assert ledger.verify().broken_at == forged.pk

    def test_a_cut_end_is_found_by_a_noted_digest(self):
        _first, last = record(), record()
        assert ledger.verify(head=last.digest).whole
        LedgerItem.objects.all().delete()
        behind_its_back("DELETE FROM queues_ledgerentry WHERE id = %s", last.pk)
        assert ledger.verify().whole, "the chain alone cannot show it"
        assert "cut off" in ledger.verify(head=last.digest).why

    def test_the_command_says_so(self, capsys):
        entry = record()
        call_command("verify_ledger")
        assert f"1 entries, head {entry.digest}" in capsys.readouterr().out
        behind_its_back("UPDATE queues_ledgerentry SET reason = 'x'")
        with pytest.raises(CommandError, match=f"broken at entry {entry.pk}"):
            call_command("verify_ledger")


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_make_one_chain():
    barrier, failures = threading.Barrier(8), []

    def write(number: int) -> None:
        try:
            barrier.wait(timeout=20)
            for turn in range(5):
                record(act=f"act {number}.{turn}")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    verdict = ledger.verify()
    assert (verdict.entries, verdict.whole) == (40, True)


@pytest.mark.django_db
def test_its_length_and_head_go_to_the_log():
    from structlog.testing import capture_logs

    from queues.desk.ledger import note_head

    assert note_head() == (0, ledger.BEGINNING)
    with transaction.atomic():
        entry = ledger.record(act="x", actor=None, actor_name="x", reason="x", now=NOW)
    with capture_logs() as said:
        assert note_head() == (1, entry.digest)
    assert {"event": "ledger.head", "count": 1, "digest": entry.digest, "log_level": "info"} in said
    assert ledger.verify(head=entry.digest).whole
