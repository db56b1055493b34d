"""What a program may say of a mail, and what it is told of one: the request and the answers of `/api/v1/emails/`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from queues.desk.api.fields import Base64, Moment, Object, Strict, Text, Whole, Word
from queues.email import emails, mail
from queues.engine.states import Priority, Status

RECIPIENTS_MAX = 50
"""Of one mail: to, cc and bcc together."""
BODY_MAX = 2_000_000
"""Characters of the text, and of the HTML."""
HEADERS_MAX = 50
HEADER_VALUE_MAX = 2000
FILES_MAX = 100
CONTEXT_MAX = 200_000
METADATA_MAX = 10_000
TAGS_MAX = 20

PRIORITIES = {priority.name.lower(): priority for priority in Priority}


def _addresses(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=Text(max_length=1000), max_length=RECIPIENTS_MAX, required=False, default=list, help_text=help_text
    )


class AttachmentForm(Strict):
    """A file of the mail."""

    name = Text(max_length=mail.FILE_NAME_MAX, help_text="File name")
    content = Base64(limit=emails.ATTACHMENTS_MAX_BYTES, help_text="The file in base64; 10 MB for all files together")
    content_type = Text(max_length=255, required=False, default="", help_text="By default guessed from the name")
    content_id = Text(
        max_length=255, required=False, default="", help_text="Makes it an inline image: `cid:<content_id>` in the HTML"
    )


class EmailForm(Strict):
    """A mail to be sent. Either `template`, or `subject` with `text`, `html` or both."""

    to = _addresses("`anna@example.com` or `Anna <anna@example.com>`, one a string; 50 with cc and bcc")
    cc = _addresses("As `to`")
    bcc = _addresses("As `to`; named in no header")
    reply_to = _addresses("As `to`")
    from_email = Text(max_length=1000, required=False, default="", help_text="By default DEFAULT_FROM_EMAIL")
    subject = Text(max_length=mail.SUBJECT_MAX, required=False, default="", help_text="One line")
    text = Text(max_length=BODY_MAX, required=False, default="", help_text="By default made from the HTML")
    html = Text(max_length=BODY_MAX, required=False, default="", help_text="The HTML body")
    headers = serializers.DictField(
        child=Text(max_length=HEADER_VALUE_MAX), required=False, default=dict, help_text="Further headers, by name"
    )
    attachments = serializers.ListField(child=AttachmentForm(), max_length=FILES_MAX, required=False, default=list)
    template = Text(max_length=200, required=False, default="", help_text="Gives subject and bodies")
    context = Object(  # type: ignore[assignment]  # a field's name; the metaclass takes it off the class
        limit=CONTEXT_MAX, required=False, default=None, allow_null=True, help_text="For the template"
    )
    email_type = Word(max_length=100, required=False, default="", help_text="`newsletter`, `password_reset`, your own")
    metadata = Object(limit=METADATA_MAX, required=False, default=dict, help_text="Kept with the mail, not sent")
    tags = serializers.ListField(
        child=Word(max_length=100, allow_blank=False), max_length=TAGS_MAX, required=False, default=list
    )
    priority = serializers.ChoiceField(
        choices=list(PRIORITIES), required=False, allow_null=True, default=None, help_text="By default that of the type"
    )
    send_at = Moment(required=False, allow_null=True, default=None, help_text="Not before this time")
    expires_at = Moment(required=False, allow_null=True, default=None, help_text="Not after this time; cancelled then")
    max_retries = Whole(min_value=0, max_value=100, required=False, allow_null=True, default=None)

    def validate_headers(self, value: dict[str, str]) -> dict[str, str]:
        """Bound their number."""
        if len(value) > HEADERS_MAX:
            raise serializers.ValidationError(f"More than {HEADERS_MAX} headers.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What concerns several fields at once; the mail itself is judged by `emails.enqueue`."""
        if len(attrs["to"]) + len(attrs["cc"]) + len(attrs["bcc"]) > RECIPIENTS_MAX:
            raise serializers.ValidationError({"to": [f"More than {RECIPIENTS_MAX} recipients with cc and bcc."]})
        if sum(len(file["content"]) for file in attrs["attachments"]) > emails.ATTACHMENTS_MAX_BYTES:
            limit = emails.ATTACHMENTS_MAX_BYTES // 1024 // 1024
            raise serializers.ValidationError({"attachments": [f"More than {limit} MB together."]})
        if attrs["send_at"] and attrs["expires_at"] and attrs["expires_at"] <= attrs["send_at"]:
            raise serializers.ValidationError({"expires_at": ["Not after send_at."]})
        return attrs

    def wished(self) -> dict[str, Any]:
        """The validated mail as `emails.enqueue` takes it."""
        wished: dict[str, Any] = dict(self.validated_data)
        wished["attachments"] = [mail.File(**file) for file in wished["attachments"]]
        wished["headers"] = list(wished["headers"].items())
        wished["priority"] = PRIORITIES[wished["priority"]] if wished["priority"] else None
        return wished


class AttemptAnswer(serializers.Serializer[Any]):
    """One run."""

    number = serializers.IntegerField()
    started_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField()
    outcome = serializers.CharField(help_text="`ack`, `retry`, `snooze`, `cancel`, `dead_letter` or `lost`")
    code = serializers.CharField()
    words = serializers.CharField(help_text="What the other side said")
    via = serializers.CharField(help_text="The transport")


class TrackingAnswer(serializers.Serializer[Any]):
    """What the provider reported."""

    kind = serializers.CharField(help_text="`delivered`, `bounced`, `opened`, …")
    recipient = serializers.CharField()
    at = serializers.DateTimeField()
    words = serializers.CharField()


class EmailAnswer(serializers.Serializer[Any]):
    """The state of a mail."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=Status.choices)
    message_id = serializers.CharField()
    idempotency_key = serializers.CharField(help_text='"" if none was given')
    email_type = serializers.CharField(source="kind")
    to = serializers.ListField(child=serializers.CharField())
    cc = serializers.ListField(child=serializers.CharField())
    bcc = serializers.ListField(child=serializers.CharField())
    subject = serializers.CharField()
    metadata = serializers.JSONField()
    tags = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When it runs next, or ran")
    expires_at = serializers.DateTimeField(allow_null=True)
    attempt_count = serializers.IntegerField(source="attempts", help_text="Counted since the last redrive")
    code = serializers.CharField(source="last_code", help_text="Short cause of the last outcome")
    words = serializers.CharField(source="last_words", help_text="What the other side said last")
    waits_for = serializers.CharField(help_text='What it waits for besides its time, such as `rate:email`; or ""')
    provider = serializers.CharField()
    provider_id = serializers.CharField()
    refused = serializers.JSONField(allow_null=True, help_text="Recipients refused while others were taken")
    succeeded_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
    dead_at = serializers.DateTimeField(allow_null=True)
    uncertain_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)
    bounced_at = serializers.DateTimeField(allow_null=True)
    complained_at = serializers.DateTimeField(allow_null=True)
    opened_at = serializers.DateTimeField(allow_null=True)
    clicked_at = serializers.DateTimeField(allow_null=True)


class EmailDetailAnswer(EmailAnswer):
    """The state of a mail with its history."""

    attempts = AttemptAnswer(many=True, help_text="The last 100 runs, oldest first")
    tracking = TrackingAnswer(many=True, help_text="The last 100 reports, oldest first")


class EmailListAnswer(serializers.Serializer[Any]):
    """What a key stands for: one mail or none."""

    results = EmailAnswer(many=True)


class ProblemAnswer(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False
    )
