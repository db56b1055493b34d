"""What a program may say of queues and their items, and what it is told: requests and answers of `/api/v1/queues/…`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from queues.desk import acts
from queues.desk.api.fields import Moment, Object, Strict, Text, Whole, Word
from queues.desk.bulk.operation import PACE_MAX
from queues.desk.selection import TEXT_MAX, Selection
from queues.engine.states import Status

IDS_MAX = 1000
REASON_MAX = 500
WAYS = ("waiting", *Status.values)


class SelectionForm(Strict):
    """Which items: by their ids, or all that the filter fits. One of the two is needed."""

    ids = serializers.ListField(
        child=Whole(min_value=1, max_value=2**63 - 1), max_length=IDS_MAX, required=False, default=list
    )
    filter = Text(max_length=TEXT_MAX, required=False, default="", help_text="As in the list's search box")
    status = serializers.ChoiceField(choices=WAYS, required=False, default="")
    purged = serializers.BooleanField(required=False, default=False, help_text="Of what was purged")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """There is no act on everything."""
        if not any(attrs[name] for name in ("ids", "filter", "status", "purged")):
            raise serializers.ValidationError("Say which items: ids, filter or status.")
        return attrs

    def selection(self) -> Selection:
        """The items meant, of a valid form."""
        said = self.validated_data
        return Selection(ids=tuple(said["ids"]), search=said["filter"], status=said["status"], purged=said["purged"])


class PrepareForm(SelectionForm):
    """An operation to be prepared."""

    act = serializers.ChoiceField(choices=list(acts.ACTS))


class ReasonForm(Strict):
    """Why; it goes into the ledger."""

    reason = Text(max_length=REASON_MAX)


class ActForm(ReasonForm):
    """A plan to be carried out."""

    plan = Text(max_length=200_000, help_text="As the plan's answer gave it: good for an hour")
    given = Object(limit=1000, required=False, default=dict, help_text="What the act must be told: hours, at, priority")


class StartForm(ReasonForm):
    """How an operation is carried out."""

    pace = Whole(min_value=1, max_value=PACE_MAX, help_text="Items a minute")
    canary = serializers.BooleanField(required=False, default=True, help_text="Try a few first")
    given = Object(limit=1000, required=False, default=dict, help_text="As in an act")


class QueueAnswer(serializers.Serializer[Any]):
    """How a queue stands. Numbers are text: `12`, or `10,000+` where counting ended."""

    name = serializers.CharField()
    waiting = serializers.CharField()
    retrying = serializers.CharField()
    processing = serializers.CharField()
    dead_letters = serializers.CharField()
    oldest_due_at = serializers.DateTimeField(allow_null=True)
    paused = serializers.ListField(child=serializers.CharField(), help_text="Types, or `*` for the whole queue")
    acts = serializers.ListField(child=serializers.CharField(), help_text="What this user may do")


class QueuesAnswer(serializers.Serializer[Any]):
    """The queues this user may see."""

    results = QueueAnswer(many=True)


class ItemAnswer(serializers.Serializer[Any]):
    """One item, without its contents."""

    id = serializers.IntegerField(source="pk")
    status = serializers.CharField()
    type = serializers.CharField(source="kind")
    priority = serializers.CharField(source="get_priority_display")
    idempotency_key = serializers.CharField()
    version = serializers.IntegerField()
    attempt_count = serializers.IntegerField(source="attempts")
    code = serializers.CharField(source="last_code")
    words = serializers.CharField(source="last_words")
    waits_for = serializers.CharField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    dead_at = serializers.DateTimeField(allow_null=True)
    purged_at = serializers.DateTimeField(source="hidden_at", allow_null=True)


class ItemsAnswer(serializers.Serializer[Any]):
    """A page of items, newest first."""

    results = ItemAnswer(many=True)
    before = serializers.IntegerField(allow_null=True, help_text="Of the next page; null on the last")


class PlanAnswer(serializers.Serializer[Any]):
    """What an act would touch."""

    act = serializers.CharField()
    count = serializers.IntegerField()
    left = serializers.DictField(child=serializers.IntegerField(), help_text="Reason -> items left alone")
    uncertain = serializers.IntegerField(help_text="Of them, how many may have arrived already")
    more = serializers.BooleanField(help_text="There is more than one act touches: prepare an operation")
    plan = serializers.CharField(help_text="To be sent back with the reason")


class ResultAnswer(serializers.Serializer[Any]):
    """What an act did."""

    act = serializers.CharField()
    done = serializers.IntegerField()
    left = serializers.DictField(child=serializers.IntegerField())
    ledger_entry = serializers.IntegerField(source="entry_id", allow_null=True)


class OperationAnswer(serializers.Serializer[Any]):
    """An operation and how far it came."""

    id = serializers.IntegerField(source="pk")
    act = serializers.CharField()
    queue = serializers.CharField()
    words = serializers.CharField()
    state = serializers.CharField()
    planned = serializers.IntegerField()
    done = serializers.IntegerField()
    missed = serializers.IntegerField(help_text="Changed since they were frozen, and left alone")
    left = serializers.DictField(child=serializers.IntegerField())
    more = serializers.BooleanField()
    pace = serializers.IntegerField()
    canary = serializers.BooleanField()
    why = serializers.CharField()
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    prepared_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    ledger_entry = serializers.IntegerField(source="entry_id", allow_null=True)


class OperationsAnswer(serializers.Serializer[Any]):
    """Operations, newest first."""

    results = OperationAnswer(many=True)


class UnmaskForm(ReasonForm):
    """To see what an item carries."""


class EditForm(ReasonForm):
    """Other contents for an item that failed."""

    version = Whole(min_value=0, max_value=2**31, help_text="Of the item as you saw it")
    changes = Object(limit=500_000, help_text="Field -> its new value")
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Only say what would be different")


class ExportForm(ReasonForm):
    """Which items, in which form."""

    form = serializers.ChoiceField(choices=["csv", "ndjson"])
    filter = Text(max_length=TEXT_MAX, required=False, default="", help_text="As in the list's search box")
    status = serializers.ChoiceField(choices=WAYS, required=False, default="")
    purged = serializers.BooleanField(required=False, default=False)

    def selection(self) -> Selection:
        """The items meant, of a valid form; without any filter all that were not purged."""
        said = self.validated_data
        return Selection(search=said["filter"], status=said["status"], purged=said["purged"])


class PauseForm(ReasonForm):
    """What rests, and until when."""

    type = Word(max_length=100, required=False, default="", help_text="Only this type; empty: the whole queue")
    resume_at = Moment(required=False, allow_null=True, default=None, help_text="It resumes by itself then")


class ResumeForm(ReasonForm):
    """What is handed out again."""

    type = Word(max_length=100, required=False, default="", help_text="The type that was paused by itself")


class DoneAnswer(serializers.Serializer[Any]):
    """Whether anything changed: false where it was so already."""

    done = serializers.BooleanField()


class SuppressForm(ReasonForm):
    """An address that gets no mail."""

    address = Text(max_length=1000)
    scope = Word(max_length=100, required=False, default="all", help_text="all, bulk, or one e-mail type")


class SuppressionAnswer(serializers.Serializer[Any]):
    """A suppressed address."""

    id = serializers.IntegerField(source="pk")
    address = serializers.CharField()
    scope = serializers.CharField()
    cause = serializers.CharField()
    created_at = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)


class SuppressionsAnswer(serializers.Serializer[Any]):
    """Suppressions, newest first."""

    results = SuppressionAnswer(many=True)


class VerdictForm(ReasonForm):
    """What staff say of a failure group."""

    until = Moment(required=False, allow_null=True, default=None, help_text="With `ignore`: until when")


class GroupAnswer(serializers.Serializer[Any]):
    """A failure group."""

    id = serializers.IntegerField(source="pk")
    fingerprint = serializers.CharField()
    code = serializers.CharField()
    words = serializers.CharField()
    state = serializers.CharField()
    note = serializers.CharField()
    dead_letters = serializers.IntegerField(source="dead", help_text="10,001: that many or more")
    retrying = serializers.IntegerField()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    regressed_at = serializers.DateTimeField(allow_null=True)
    ignored_until = serializers.DateTimeField(allow_null=True)


class GroupsAnswer(serializers.Serializer[Any]):
    """The groups seen last."""

    results = GroupAnswer(many=True)


class EntryAnswer(serializers.Serializer[Any]):
    """A ledger entry."""

    id = serializers.IntegerField(source="pk")
    at = serializers.DateTimeField()
    who = serializers.CharField(source="actor_name")
    act = serializers.CharField()
    queue = serializers.CharField()
    items_touched = serializers.IntegerField(source="item_count")
    plan = serializers.CharField()
    reason = serializers.CharField()
    result = serializers.DictField()
    digest = serializers.CharField()


class EntriesAnswer(serializers.Serializer[Any]):
    """Entries, newest first."""

    results = EntryAnswer(many=True)
    before = serializers.IntegerField(allow_null=True)


class ItemDetailAnswer(ItemAnswer):
    """One item and why it is where it is; what it carries is asked for by itself."""

    why = serializers.CharField()
    acts = serializers.ListField(child=serializers.CharField(), help_text="What may be done with it now")


class PayloadAnswer(serializers.Serializer[Any]):
    """What an item carries."""

    contents = serializers.DictField()


class EditAnswer(serializers.Serializer[Any]):
    """What an edit changed, or would."""

    changed = serializers.ListField(child=serializers.CharField())
    ledger_entry = serializers.IntegerField(allow_null=True)
