"""Acts of staff: each touches what it may and nothing else, leaves an entry with its reason, and can be repeated."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from queues.desk import acts, grammar, ledger, operations, plans
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email import suppressions, types
from queues.email.models import EmailMessage, Suppression
from queues.engine import pauses, transitions
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.people import mail, person

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYTHING = Selection()
TOUCHED = {
    "redrive": {Status.DEAD_LETTER: Status.PENDING},
    "replay": {Status.SUCCEEDED: Status.PENDING, Status.CANCELLED: Status.PENDING},
    "discard": dict.fromkeys((Status.PENDING, Status.RETRYING, Status.DEAD_LETTER), Status.CANCELLED),
    "purge": {status: status for status in (Status.SUCCEEDED, Status.CANCELLED, Status.DEAD_LETTER)},
}


def operator() -> Actor:
    return Actor.of(person("operator"), request_id="r-7")


def do(act: str, *items: EmailMessage, actor: Actor | None = None, **changes: Any) -> operations.Result:
    said: dict[str, Any] = {"reason": "server repaired", "now": timezone.now(), "queue": "email"} | changes
    selection = said.pop("selection", Selection(ids=tuple(item.pk for item in items)))
    return operations.act_on(act=act, selection=selection, actor=actor or Actor.shell(), **said)


@pytest.mark.django_db
class TestItems:
    @pytest.mark.parametrize("status", Status.values)
    @pytest.mark.parametrize("act", TOUCHED)
    def test_an_act_touches_its_states_and_says_why_not_the_others(self, act: str, status: str):
        item = mail(status)
        result = do(act, item)
        item.refresh_from_db()
        after = TOUCHED[act].get(Status(status))
        if after is None:
            assert (result.done, result.left) == (0, {acts.BEING[status]: 1})
            assert item.status == status
            assert not LedgerEntry.objects.exists()
        else:
            assert (result.done, result.left, item.status) == (1, {}, after)
            assert bool(item.hidden_at) == (act == "purge")

    def test_a_redriven_mail_starts_anew(self):
        item = mail(Status.DEAD_LETTER)
        do("redrive", item)
        item.refresh_from_db()
        assert (item.status, item.attempts, item.runs, item.dead_at) == (Status.PENDING, 0, 6, None)
        assert item.due_at <= timezone.now()

    def test_the_entry_says_who_what_why_and_how_it_ended(self):
        dead, sent = mail(Status.DEAD_LETTER), mail(Status.SUCCEEDED)
        actor = operator()
        result = do("redrive", dead, sent, actor=actor)
        entry = LedgerEntry.objects.get(pk=result.entry_id)
        assert (entry.actor, entry.actor_name, entry.act, entry.queue) == (actor.user, "operator", "redrive", "email")
        assert (entry.items, entry.item_count, entry.reason) == ([dead.pk], 1, "server repaired")
        assert entry.result == {"done": 1, "left": {"succeeded already": 1}}
        assert entry.request_id == "r-7"
        assert ledger.verify().whole

    def test_purged_is_out_of_reach_of_all_but_restore(self):
        item = mail(Status.DEAD_LETTER)
        do("purge", item)
        for act in ("redrive", "discard", "purge"):
            assert do(act, item).left == {"purged": 1}
        assert do("redrive", selection=EVERYTHING).done == 0
        assert do("restore", item).done == 1
        assert do("redrive", item).done == 1

    def test_restore_ends_after_seven_days(self):
        item = mail(Status.SUCCEEDED, hidden_at=NOW - transitions.RESTORABLE)
        assert do("restore", item, now=NOW).left == {"purged more than seven days ago": 1}
        assert do("restore", item, now=NOW - timedelta(seconds=1)).done == 1
        assert do("restore", item, now=NOW).left == {"not purged": 1}

    def test_a_mail_whose_text_is_gone_cannot_run_again(self):
        old = mail(Status.SUCCEEDED, bodies_removed_at=NOW, text="")
        dead = mail(Status.DEAD_LETTER, bodies_removed_at=NOW, text="")
        assert do("replay", old).left == {"its text was removed after its time": 1}
        assert do("redrive", dead).done == 0

    def test_a_missing_item_is_counted(self):
        assert do("redrive", selection=Selection(ids=(2**62, 2**80, -1))).left == {"not there": 3}

    @pytest.mark.parametrize("reason", ["", "  \n "])
    def test_without_a_reason_nothing_happens(self, reason: str):
        item = mail()
        with pytest.raises(operations.ReasonMissing):
            do("redrive", item, reason=reason)
        item.refresh_from_db()
        assert item.status == Status.DEAD_LETTER

    def test_without_the_permission_nothing_happens(self):
        item = mail()
        with pytest.raises(PermissionDenied):
            do("redrive", item, actor=Actor.of(person("observer")))
        item.refresh_from_db()
        assert item.status == Status.DEAD_LETTER
        assert not LedgerEntry.objects.exists()

    def test_a_plan_is_no_permission(self):
        item = mail()
        plan = plans.make(act=acts.get("redrive"), queue="email", selection=Selection(ids=(item.pk,)), now=NOW)
        with pytest.raises(PermissionDenied):
            operations.perform(plan=plan, actor=Actor.of(person("observer")), reason="x", now=NOW)

    def test_an_actor_without_account_must_be_the_shell(self):
        with pytest.raises(PermissionDenied):
            do("redrive", mail(), actor=Actor(user=None, name="anna"))

    def test_an_error_in_the_ledger_undoes_the_act(self, monkeypatch):
        item = mail()
        monkeypatch.setattr(ledger, "digest", lambda _entry: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            do("redrive", item)
        item.refresh_from_db()
        assert item.status == Status.DEAD_LETTER

    def test_repeating_does_nothing_and_records_nothing(self):
        item = mail()
        assert (do("redrive", item).done, do("redrive", item).done) == (1, 0)
        assert LedgerEntry.objects.count() == 1


@pytest.mark.django_db
class TestFilters:
    def test_filters_choose_the_items(self):
        wanted = mail(kind="receipt", last_code="timeout")
        others = [mail(kind="newsletter", last_code="timeout"), mail(kind="receipt", last_code="smtp 550")]
        result = do("redrive", selection=Selection(status="dead_letter", kind="receipt", code="timeout"))
        assert result.done == 1
        wanted.refresh_from_db()
        assert wanted.status == Status.PENDING
        assert EmailMessage.objects.filter(pk__in=[other.pk for other in others], status="dead_letter").count() == 2

    def test_waiting_is_both_that_wait(self):
        mail(Status.PENDING), mail(Status.RETRYING), mail(Status.PROCESSING)
        assert do("discard", selection=Selection(status="waiting")).done == 2

    @pytest.mark.parametrize(
        "text", ["", "a\x00b", "x" * 10_000, "%", "' OR 1=1 --", '"', "\ud800", "9" * 30, "💥", "a@b@c", "\n"]
    )
    def test_a_hostile_search_finds_nothing(self, text: str):
        mail()
        selection = Selection(search=text)
        try:
            selection.check(EmailMessage)
        except grammar.Mistake:
            return  # said with its place, and no act is made of it
        assert selection.apply(EmailMessage.objects.all()).count() == (1 if text == "" else 0)

    @pytest.mark.parametrize(
        "by", ["recipient", "message_id", "bare_message_id", "idempotency_key", "pk", "provider_id"]
    )
    def test_a_search_is_exact(self, by: str):
        item, _other = mail(recipient="anna@bücher.example", provider_id="p-1"), mail(provider_id="p-2")
        EmailMessage.objects.filter(pk=item.pk).update(recipient="anna@xn--bcher-kva.example")
        text = {
            "recipient": "Anna <ANNA@bücher.example>",
            "message_id": item.message_id,
            "bare_message_id": item.message_id.strip("<>"),
            "idempotency_key": f'"{item.idempotency_key}"',  # a colon in it would be a field
            "pk": str(item.pk),
            "provider_id": "p-1",
        }[by]
        assert list(Selection(search=text).apply(EmailMessage.objects.all())) == [item]

    def test_more_than_one_act_can_hold_goes_on_below(self, monkeypatch):
        monkeypatch.setattr(plans, "AT_ONCE", 2)
        items = [mail() for _ in range(5)]
        first = do("redrive", selection=Selection(status="dead_letter"))
        assert (first.done, first.more, first.lowest) == (2, True, items[3].pk)
        second = do("redrive", selection=Selection(status="dead_letter"), below=first.lowest)
        assert (second.done, second.more) == (2, True)
        third = do("redrive", selection=Selection(status="dead_letter"), below=second.lowest)
        assert (third.done, third.more) == (1, False)


@pytest.mark.django_db
class TestPlans:
    def plan(self, **changes: Any) -> plans.Plan:
        said: dict[str, Any] = {
            "act": acts.get("redrive"),
            "queue": "email",
            "selection": Selection(status="dead_letter"),
        }
        return plans.make(**(said | changes), now=timezone.now())

    def test_what_changed_since_the_preview_is_left_alone(self):
        same, redriven, discarded = mail(), mail(), mail()
        plan = self.plan()
        do("redrive", redriven)
        transitions.discard(EmailMessage.objects.filter(pk=discarded.pk), reason="x", now=NOW)
        late = mail()
        result = operations.perform(plan=plan, actor=Actor.shell(), reason="x", now=timezone.now())
        assert (result.done, result.left) == (1, {operations.CHANGED: 2})
        same.refresh_from_db(), late.refresh_from_db()
        assert (same.status, late.status) == (Status.PENDING, Status.DEAD_LETTER)

    def test_a_dead_letter_that_died_again_is_not_the_one_that_was_shown(self):
        item = mail()
        plan = self.plan()
        do("redrive", item)
        EmailMessage.objects.filter(pk=item.pk).update(status=Status.DEAD_LETTER, dead_at=NOW)
        assert operations.perform(plan=plan, actor=Actor.shell(), reason="x", now=NOW).done == 0

    def test_a_sealed_plan_comes_back_as_it_was(self):
        mail(), mail(Status.SUCCEEDED)
        plan = self.plan(selection=EVERYTHING)
        back = plans.unseal(plans.seal(plan, for_user=7), act="redrive", queue="email", for_user=7)
        assert (back.versions, back.left, back.words) == (plan.versions, plan.left, plan.words)
        assert back.left == {"succeeded already": 1}

    @pytest.mark.parametrize("given", [{"act": "purge"}, {"queue": "webhook"}, {"for_user": 8}])
    def test_a_seal_holds_for_one_act_queue_and_person(self, given: dict[str, Any]):
        sealed = plans.seal(self.plan(), for_user=7)
        with pytest.raises(plans.Stale):
            plans.unseal(sealed, **({"act": "redrive", "queue": "email", "for_user": 7} | given))

    def test_a_forged_or_old_seal_is_refused(self):
        sealed = plans.seal(self.plan(), for_user=7)
        forged = signing.dumps({"act": "redrive"}, key="another", salt=plans.SALT)
        for text in (forged, sealed[:-1], "", "💥"):
            with pytest.raises(plans.Stale):
                plans.unseal(text, act="redrive", queue="email", for_user=7)
        later = timezone.now() + plans.GOOD_FOR + timedelta(seconds=2)
        with time_machine.travel(later), pytest.raises(plans.Stale):
            plans.unseal(sealed, act="redrive", queue="email", for_user=7)


@pytest.mark.django_db
class TestPauses:
    def test_pause_and_resume(self):
        actor = operator()
        assert operations.pause(queue="email", actor=actor, reason="provider down", now=NOW)
        assert not operations.pause(queue="email", actor=actor, reason="again", now=NOW)
        assert pauses.paused_kinds(queue="email", now=NOW) == [""]
        assert Pause.objects.get().paused_by == actor.user
        assert operations.resume(queue="email", actor=actor, reason="provider back", now=NOW)
        assert not operations.resume(queue="email", actor=actor, reason="again", now=NOW)
        assert pauses.paused_kinds(queue="email", now=NOW) == []
        assert list(LedgerEntry.objects.values_list("act", flat=True)) == ["resume", "pause"]

    def test_a_pause_that_ended_by_itself_can_be_made_again(self):
        actor = operator()
        operations.pause(queue="email", actor=actor, reason="x", now=NOW, resume_at=NOW + timedelta(hours=1))
        later = NOW + timedelta(hours=1)
        assert pauses.paused_kinds(queue="email", now=later) == []
        assert operations.pause(queue="email", actor=actor, reason="x", now=later)
        assert pauses.paused_kinds(queue="email", now=later) == [""]

    def test_one_type_alone(self):
        operations.pause(queue="email", kind="newsletter", actor=operator(), reason="x", now=NOW)
        assert pauses.paused_kinds(queue="email", now=NOW) == ["newsletter"]

    def test_only_with_the_permission(self):
        observer = Actor.of(person("observer"))
        with pytest.raises(PermissionDenied):
            operations.pause(queue="email", actor=observer, reason="x", now=NOW)
        with pytest.raises(PermissionDenied):
            operations.resume(queue="email", actor=observer, reason="x", now=NOW)


@pytest.mark.django_db
class TestSuppressions:
    def test_suppress_and_lift(self):
        actor = operator()
        said = {"address": "Anna <ANNA@example.com>", "scope": "all", "actor": actor, "reason": "asked us", "now": NOW}
        assert operations.suppress(**said)
        assert not operations.suppress(**said)
        row = Suppression.objects.get()
        assert (row.address, row.cause, row.created_by) == ("anna@example.com", "manual", actor.user)
        (block,) = suppressions.blocked(["anna@example.com"], now=NOW)["anna@example.com"]
        assert suppressions.applies(block, types.PASSWORD_RESET)
        assert operations.lift(suppression_id=row.pk, actor=actor, reason="asked again", now=NOW)
        assert not operations.lift(suppression_id=row.pk, actor=actor, reason="asked again", now=NOW)
        assert suppressions.blocked(["anna@example.com"], now=NOW) == {}
        assert list(LedgerEntry.objects.values_list("act", flat=True)) == ["lift", "suppress"]

    def test_what_is_no_address_is_refused(self):
        with pytest.raises(ValueError, match="no @"):
            operations.suppress(address="anna", scope="all", actor=operator(), reason="x", now=NOW)

    def test_only_with_the_permission(self):
        row = Suppression.objects.create(address="anna@example.com", cause="complaint")
        observer = Actor.of(person("observer"))
        with pytest.raises(PermissionDenied):
            operations.lift(suppression_id=row.pk, actor=observer, reason="x", now=NOW)
        with pytest.raises(PermissionDenied):
            operations.suppress(address="b@example.com", scope="all", actor=observer, reason="x", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_redrive_the_same_items_one_does():
    items = [mail() for _ in range(20)]
    plan = plans.make(act=acts.get("redrive"), queue="email", selection=Selection(status="dead_letter"), now=NOW)
    barrier, done, failures = threading.Barrier(8), [], []

    def act() -> None:
        try:
            barrier.wait(timeout=20)
            done.append(operations.perform(plan=plan, actor=Actor.shell(), reason="x", now=timezone.now()).done)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert sorted(done) == [0] * 7 + [len(items)]
    assert LedgerEntry.objects.get().item_count == len(items)
    versions = EmailMessage.objects.filter(status=Status.PENDING).values_list("version", flat=True)
    assert list(versions) == [1] * len(items)
