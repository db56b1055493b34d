"""What a program may say of a push, and what it is told: the request and the answers of `/api/v1/pushes/`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from notifications import push
from notifications.models import PushDelivery
from notifications.sending import content, words
from queues.desk.api.fields import Moment, Strict, Text, Whole, Word

USERS_MAX = 1000
NAME_MAX = 150
"""Of Django's user names."""
DATA_MAX = 50
ID_MAX = 2**31
"""Django's accounts have no larger ids."""


class UserField(serializers.Field[int | str, Any, Any, Any]):
    """An account by its id or its natural key, the user name."""

    default_error_messages = {"invalid": "Neither an id nor a user name."}

    def to_internal_value(self, data: Any) -> int | str:
        """The id, or the name."""
        if isinstance(data, int) and not isinstance(data, bool) and 0 < data < ID_MAX:
            return data
        if isinstance(data, str) and 0 < len(data) <= NAME_MAX and data.isprintable():
            return data
        self.fail("invalid")

    def to_representation(self, value: Any) -> Any:
        """As it came."""
        return value


class YesOrNo(serializers.BooleanField):
    """true or false, and no word that looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        """Which."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class PushForm(Strict):
    """A push to be sent."""

    users = serializers.ListField(
        child=UserField(), min_length=1, max_length=USERS_MAX, help_text="Ids or user names; one call takes 1,000"
    )
    title = Text(max_length=content.TITLE_MAX, help_text="What is shown first")
    body = Text(max_length=content.BODY_MAX, required=False, default="")
    url = Text(max_length=content.URL_MAX, required=False, default="", help_text="Where a tap leads: https://… or /…")
    data = serializers.DictField(  # type: ignore[assignment]  # a field's name; the metaclass takes it off the class
        child=Text(max_length=content.DATA_MAX), required=False, default=dict, help_text="For the app: names and texts"
    )
    category = Word(max_length=push.WORD_MAX, required=False, default="", help_text="What users can switch off")
    campaign = Word(max_length=push.WORD_MAX, required=False, default="", help_text="Limited to 100 pushes an hour")
    ttl = Whole(
        min_value=1,
        max_value=int(push.TTL_MAX.total_seconds()),
        required=False,
        default=int(push.TTL.total_seconds()),
        help_text="Seconds; what could not be sent by then is not sent",
    )
    urgent = YesOrNo(required=False, default=False, help_text="Passes quiet hours")
    send_at = Moment(required=False, allow_null=True, default=None, help_text="Not before this time")

    def validate_data(self, value: dict[str, str]) -> dict[str, str]:
        """Bound their number."""
        if len(value) > DATA_MAX:
            raise serializers.ValidationError(f"More than {DATA_MAX} names.")
        return value

    def wished(self) -> dict[str, Any]:
        """The validated push as `push.notify` takes it, but for the users."""
        wished: dict[str, Any] = dict(self.validated_data)
        wished["ttl"] = timedelta(seconds=wished["ttl"])
        del wished["users"]
        return wished


class PushedAnswer(serializers.Serializer[Any]):
    """What a call made."""

    push_id = serializers.UUIDField()
    deliveries = serializers.IntegerField(help_text="One a device, the deferred ones among them")
    deferred = serializers.IntegerField(help_text="Wait for the end of their users' quiet hours")
    suppressed = serializers.DictField(
        child=serializers.IntegerField(), help_text="Deliveries by reason: `preference`, `quiet_hours`"
    )
    no_device = serializers.IntegerField(help_text="Users without a device it may go to")
    unknown_users = serializers.IntegerField(help_text="Ids and names that stand for nobody")


class DeliveryAnswer(serializers.Serializer[PushDelivery]):
    """Where one delivery stands."""

    id = serializers.IntegerField()
    user = serializers.IntegerField(source="user_id", allow_null=True)
    device = serializers.IntegerField(source="device_id", allow_null=True)
    state = serializers.SerializerMethodField(help_text=", ".join(f"`{word}`" for word in words.WORDS))
    reason = serializers.SerializerMethodField(help_text="Of failed, suppressed; what a queued one waits for")
    attempt_count = serializers.IntegerField(source="attempts")
    due_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    accepted_at = serializers.DateTimeField(allow_null=True, help_text="The push service took it")
    delivered_at = serializers.DateTimeField(allow_null=True, help_text="The device said so itself")
    opened_at = serializers.DateTimeField(allow_null=True)

    def get_state(self, delivery: PushDelivery) -> str:
        """The word."""
        return words.of(delivery).word

    def get_reason(self, delivery: PushDelivery) -> str:
        """Why."""
        return words.of(delivery).reason


class PushAnswer(serializers.Serializer[Any]):
    """A push and a page of its deliveries."""

    push_id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    category = serializers.CharField()
    campaign = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Deliveries by state, exact")
    deliveries = DeliveryAnswer(many=True)
    next = serializers.CharField(allow_null=True, help_text="The next page; null on the last")
