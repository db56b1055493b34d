"""Serializer fields that take what they are named after and nothing that looks like it; unknown fields are refused."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


class Strict(serializers.Serializer[Any]):
    """A serializer that refuses fields it does not know: a misspelt `send_at` must not send now."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values, or a ValidationError with all that is wrong."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        errors: dict[str, Any] = {name[:100]: ["There is no such field."] for name in unknown[:20]}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            raise serializers.ValidationError(errors | dict(error.detail)) from error
        if errors:
            raise serializers.ValidationError(errors)
        return values


class Text(serializers.CharField):
    """A string as it was sent: not trimmed, and no number in its place."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        options.setdefault("allow_blank", True)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        """The string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class Word(Text):
    """A name of something: one line without control characters, which providers may carry in a header."""

    default_error_messages = {"control": "A control character in it."}

    def to_internal_value(self, data: Any) -> str:
        """The string."""
        word = super().to_internal_value(data)
        if not word.isprintable():
            self.fail("control")
        return word


class Whole(serializers.IntegerField):
    """A whole number, not a string of digits."""

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[datetime, str, str, Any]):
    """A point in time with its zone (RFC 3339)."""

    default_error_messages = {"invalid": "Not a time like 2027-01-31T08:00:00Z (with Z or an offset)."}

    def to_internal_value(self, data: Any) -> datetime:
        """The time, aware."""
        try:
            at = parse_datetime(data) if isinstance(data, str) and len(data) <= 40 else None
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or not 2000 <= at.year <= 2200:
            self.fail("invalid")
        return at

    def to_representation(self, value: datetime) -> str:
        """ISO 8601."""
        return value.isoformat()


@extend_schema_field(OpenApiTypes.BYTE)
class Base64(serializers.Field[bytes, str, str, Any]):
    """Bytes in base64 (RFC 4648 section 4), without line breaks."""

    default_error_messages = {"invalid": "Not base64.", "large": "Larger than {limit:,} bytes."}

    def __init__(self, *, limit: int, **options: Any) -> None:
        self.limit = limit
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> bytes:
        """The bytes."""
        if not isinstance(data, str):
            self.fail("invalid")
        if len(data) // 4 * 3 > self.limit + 2:
            self.fail("large", limit=self.limit)
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            self.fail("invalid")

    def to_representation(self, value: bytes) -> str:
        """Base64."""
        return base64.b64encode(value).decode()


@extend_schema_field(OpenApiTypes.OBJECT)
class Object(serializers.Field[dict[str, Any], Any, Any, Any]):
    """A JSON object of any content up to a length."""

    default_error_messages = {"invalid": "Not an object.", "large": "Longer than {limit:,} characters of JSON."}

    def __init__(self, *, limit: int, **options: Any) -> None:
        self.limit = limit
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The object."""
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(json.dumps(data, ensure_ascii=False)) > self.limit:
            self.fail("large", limit=self.limit)
        return data

    def to_representation(self, value: Any) -> Any:
        """The object."""
        return value
