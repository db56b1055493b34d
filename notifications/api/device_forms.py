"""What a client says of its device, and what it is told of one: requests and answers of `/api/v1/devices/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from rest_framework import serializers

from notifications.devices import formats, refreshing, registration, verification
from notifications.devices.formats import Given
from notifications.models import DeviceTransition, PushDevice
from notifications.states import DeviceStatus, Environment, Transport
from notifications.transports import keys, vapid
from queues.desk.api.fields import Moment, Strict, Text, Word

TIMELINE_MAX = 100
SHOWN = 6
"""Characters of an address that are shown: enough to tell two apart, too few to send to it."""


class AboutForm(Strict):
    """What a client says of itself."""

    name = Word(max_length=100, required=False, help_text="What its user calls it: `Firefox on Linux`")
    platform = Word(max_length=20, required=False, help_text="`ios`, `android`, `web`")
    locale = Word(max_length=35, required=False, help_text="`de-AT`")
    app_version = Word(max_length=50, required=False)


class AddressForm(AboutForm):
    """An address, with what its client says of itself."""

    address = Text(
        max_length=4096, allow_blank=False, help_text="Web Push endpoint, FCM installation id or token, APNs token"
    )
    p256dh = Text(max_length=200, required=False, help_text="Web Push: the subscription's public key, base64url")
    auth = Text(max_length=100, required=False, help_text="Web Push: the subscription's secret, base64url")
    application_server_key = Text(
        max_length=200,
        required=False,
        help_text="Web Push: the key it subscribed with, if that may not be this server's present one",
    )
    expiration_time = Moment(required=False, allow_null=True, help_text="Web Push: when the subscription ends")

    def validate_application_server_key(self, value: str) -> str:
        """Its thumbprint."""
        try:
            return keys.thumbprint(keys.unb64(value)) if value else ""
        except ValueError:
            raise serializers.ValidationError("Not base64url.") from None

    def given(self, *, transport: str, environment: str) -> Given:
        """The address as `formats` checks it."""
        values = self.validated_data
        web = transport == Transport.WEBPUSH
        return Given(
            transport=transport,
            environment=environment,
            address=values["address"],
            p256dh=values.get("p256dh", ""),
            auth=values.get("auth", ""),
            vapid_key_thumbprint=(values.get("application_server_key") or vapid.thumbprint()) if web else "",
            expiration_time=values.get("expiration_time"),
        )

    def about(self) -> dict[str, str]:
        """What it says of itself."""
        return {name: self.validated_data[name] for name in registration.DESCRIBED if name in self.validated_data}

    def wish_for(self, device: PushDevice) -> registration.Wish:
        """The address as the new one of an installation that is known."""
        return registration.Wish(
            user=device.installation.user,
            installation_id=device.installation.installation_id,
            app=device.app,
            about=self.about(),
            given=self.given(transport=device.transport, environment=device.environment),
        )


class RegisterForm(AddressForm):
    """A registration. The same one again changes nothing but the time it was seen."""

    transport = serializers.ChoiceField(choices=Transport.values)
    environment = serializers.ChoiceField(
        choices=Environment.values, required=False, default=Environment.PRODUCTION.value, help_text="APNs alone has two"
    )
    installation_id = Word(
        max_length=100, allow_blank=False, help_text="Made by the client once (a UUID, say) and kept by it"
    )
    app = Word(max_length=100, required=False, default="default", help_text="One of this server's apps")

    def validate_app(self, value: str) -> str:
        """One that is set up."""
        if value not in settings.PUSH_APPS:
            raise serializers.ValidationError("There is no such app.")
        return value

    def wish(self, user: User) -> registration.Wish:
        """The validated registration."""
        values = self.validated_data
        return registration.Wish(
            user=user,
            installation_id=values["installation_id"],
            app=values["app"],
            about=self.about(),
            given=self.given(transport=values["transport"], environment=values["environment"]),
        )


class RefreshForm(AddressForm):
    """A new address, and the right to give it."""

    token = Text(max_length=refreshing.TOKEN_MAX, help_text="`refresh_token` of the registration")


class VerifyForm(Strict):
    """The echo of a nonce."""

    nonce = Word(max_length=64, allow_blank=False, help_text="From the test push: `data.nonce`")


class TransitionAnswer(serializers.Serializer[DeviceTransition]):
    """One line of the timeline."""

    at = serializers.DateTimeField()
    before = serializers.CharField(help_text='"" of a new device')
    after = serializers.CharField()
    cause = serializers.CharField(help_text="`registered`, `verified`, `replaced`, `refused`, `seen`, `unseen`, …")
    transport_status = serializers.CharField(help_text="The push service's status")
    transport_reason = serializers.CharField(help_text="Its own word")
    words = serializers.CharField()


class DeviceAnswer(serializers.Serializer[PushDevice]):
    """A device."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=DeviceStatus.choices)
    status_reason = serializers.CharField(help_text="`replaced`, `refused`, `verification_failed`, …")
    status_words = serializers.CharField(source="get_status_reason_display", help_text="The reason for people")
    status_changed_at = serializers.DateTimeField()
    superseded_by = serializers.SerializerMethodField(help_text="The device that took its place")
    transport = serializers.CharField()
    address_kind = serializers.CharField()
    address_hint = serializers.SerializerMethodField(help_text="The end of the address")
    environment = serializers.CharField()
    app = serializers.CharField()
    installation_id = serializers.CharField(source="installation.installation_id")
    name = serializers.CharField(source="installation.name")
    platform = serializers.CharField(source="installation.platform")
    locale = serializers.CharField(source="installation.locale")
    app_version = serializers.CharField(source="installation.app_version")
    failure_count = serializers.IntegerField(help_text="Failed deliveries in a row")
    registered_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField(allow_null=True)
    last_seen_at = serializers.DateTimeField()
    last_successful_send_at = serializers.DateTimeField(allow_null=True)
    last_confirmed_at = serializers.DateTimeField(allow_null=True, help_text="When it last acknowledged a push itself")

    def get_superseded_by(self, device: PushDevice) -> int | None:
        """Never another user's: its id would say that there is one."""
        return device.superseded_by_id if device.status_reason == "replaced" else None

    def get_address_hint(self, device: PushDevice) -> str:
        """Its last characters."""
        return hint(device.address)


class RegisteredAnswer(DeviceAnswer):
    """A device, and how to go on."""

    refresh_token = serializers.SerializerMethodField(
        help_text="For `/push/refresh/`: gives this installation a new address when nobody is logged in"
    )
    echo = serializers.SerializerMethodField(help_text="Whether the test push carries a nonce to be sent back")
    retry_after_seconds = serializers.SerializerMethodField(help_text="When the server tries the test push again")
    vapid_public_key = serializers.SerializerMethodField(help_text="What to subscribe with (Web Push)")

    def get_refresh_token(self, device: PushDevice) -> str:
        """Signed."""
        return refreshing.token(device)

    def get_echo(self, device: PushDevice) -> bool:
        """Only while it is pending."""
        return device.status == DeviceStatus.PENDING and verification.needs_echo(device)

    def get_retry_after_seconds(self, device: PushDevice) -> list[int]:
        """The schedule; a client retries its own request by it too."""
        return list(verification.RETRY_AFTER_SECONDS)

    def get_vapid_public_key(self, device: PushDevice) -> str:
        """Ours, "" if none is set."""
        return server_key()


class DeviceDetailAnswer(DeviceAnswer):
    """A device with its timeline."""

    timeline = TransitionAnswer(many=True)


class DeviceListAnswer(serializers.Serializer[Any]):
    """One's devices, and what a client needs to register."""

    results = DeviceAnswer(many=True)
    retry_after_seconds = serializers.ListField(child=serializers.IntegerField())
    vapid_public_key = serializers.CharField()


def server_key() -> str:
    """The public key that browsers subscribe with; "" if none is set."""
    try:
        return vapid.public_key()
    except keys.BadKey:
        return ""


def hint(address: str) -> str:
    """The end of an address, for people to tell two apart."""
    return f"…{address[-SHOWN:]}" if address else ""


def refused(error: formats.Refused) -> Mapping[str, list[str]]:
    """Errors by field, as the API answers them."""
    return {name: [words] for name, words in error.errors.items()}
