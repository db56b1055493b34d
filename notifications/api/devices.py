"""`/api/v1/devices/`: a device registers, refreshes its address, proves that it holds it, and leaves."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from notifications.api.device_forms import (
    TIMELINE_MAX,
    AboutForm,
    AddressForm,
    DeviceAnswer,
    DeviceDetailAnswer,
    DeviceListAnswer,
    RefreshForm,
    RegisteredAnswer,
    RegisterForm,
    VerifyForm,
    refused,
    server_key,
)
from notifications.devices import formats, refreshing, registration, verification
from notifications.models import PushDevice
from notifications.states import DeviceStatus, Reason
from queues.desk.api import problems
from queues.desk.api.authentication import Permitted
from queues.desk.api.email_forms import ProblemAnswer
from queues.desk.api.problems import Problem
from queues.desk.api.strict_json import StrictJSONParser
from queues.engine import limiter
from queues.engine.registry import Limit

CODES = {
    "too_many_installations": (409, "The account has too many installations"),
    "refresh_token_invalid": (403, "The refresh token does not stand for a device"),
    "nonce_wrong": (409, "The nonce is not the one the device was asked for, or it is too old"),
}
problems.CODES.update(CODES)

BODY_MAX = 16_000
"""Octets: an endpoint of 2,048 characters, a token of 4,096, and the rest."""
LIST_MAX = 200
LIMIT = "push.register"
MANAGE = ("notifications.register_device",)
ENDED_BY = {Reason.LOGGED_OUT.value: Reason.LOGGED_OUT, Reason.OPTED_OUT.value: Reason.OPTED_OUT}

REASON = OpenApiParameter("reason", str, enum=list(ENDED_BY), description="Why it leaves; by default `opted_out`.")


def said(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The error answers of an operation, for the schema."""
    answer = OpenApiResponse(ProblemAnswer, description="application/problem+json")
    return {(status, "application/problem+json"): answer for status in (401, 403, *statuses)}


class SmallParser(StrictJSONParser):
    """JSON of at most `BODY_MAX` octets."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value in the body. Raises Problem."""
        raw = stream.read(BODY_MAX + 1)
        if len(raw) > BODY_MAX:
            raise Problem("too_large", f"More than {BODY_MAX:,} octets.")
        return super().parse(io.BytesIO(raw), media_type, parser_context)


class OwnDevices(Permitted):
    """People who are logged in may have devices; a program needs `notifications.register_device`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the method may run."""
        if request.auth is None and request.user and request.user.is_authenticated:
            return True
        return super().has_permission(request, view)


class DeviceView(APIView):
    """What all of them share: one's own devices, and nobody else's."""

    parser_classes = [SmallParser]
    permission_classes = [OwnDevices]

    def own(self) -> QuerySet[PushDevice]:
        """The caller's."""
        rows = PushDevice.objects.filter(installation__user=cast(User, self.request.user))
        return rows.select_related("installation")

    def one(self, pk: int) -> PushDevice:
        """One of them; others' are not there. Raises Http404."""
        device = self.own().filter(pk=pk).first()
        if device is None:
            raise Http404
        return device

    def handle_exception(self, exc: Exception) -> Response:
        """With the headers of our own errors."""
        response = super().handle_exception(exc)
        for name, value in getattr(exc, "headers", {}).items():
            response[name] = value
        return response

    def registered(self, wish: registration.Wish, *, now: datetime) -> Response:
        """Register, within the user's allowance: each new address is sent a test push, which people can see."""
        grant = limiter.take([Limit(LIMIT, str(wish.user.pk))])
        if not grant.granted:
            raise Throttled(grant, now=now)
        try:
            done = registration.register(wish=wish, now=now)
        except formats.Refused as error:
            raise serializers.ValidationError(refused(error)) from error
        except registration.TooMany as error:
            words = f"At most {registration.INSTALLATIONS_MAX}: keep the installation_id, do not make one each time."
            raise Problem("too_many_installations", words) from error
        answer = Response(RegisteredAnswer(done.device).data, status=201 if done.created else 200)
        answer["Location"] = reverse("api-device", args=[done.device.pk], request=self.request)
        return answer


class Devices(DeviceView):
    """One's devices."""

    needs = {"GET": MANAGE, "POST": MANAGE}

    @extend_schema(
        operation_id="devices_list",
        summary="List one's devices",
        description="Those that have ended too, newest first, with what a client needs to register.",
        responses={200: DeviceListAnswer, **said()},
    )
    def get(self, request: Request) -> Response:
        """The caller's devices."""
        rows = list(self.own().order_by("-pk")[:LIST_MAX])
        return Response(
            {
                "results": [DeviceAnswer(row).data for row in rows],
                "retry_after_seconds": list(verification.RETRY_AFTER_SECONDS),
                "vapid_public_key": server_key(),
            }
        )

    @extend_schema(
        operation_id="device_register",
        summary="Register a device",
        description="201 for a new address, 200 for one that is known: the same request again changes nothing, so "
        "after an error or a time-out send it again, by `retry_after_seconds`. A new address of the installation "
        "replaces its old one. The address is `pending` until a test push was taken, and where `echo` is true until "
        "its nonce came back.",
        request=RegisterForm,
        responses={200: RegisteredAnswer, 201: RegisteredAnswer, **said(400, 409, 413, 415, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        """Register an address."""
        form = RegisterForm(data=request.data)
        form.is_valid(raise_exception=True)
        answer = self.registered(form.wish(cast(User, request.user)), now=timezone.now())
        if request.auth is None:
            named = [form.validated_data["app"], form.validated_data["installation_id"]]
            request.session[registration.SESSION_KEY] = named
        return answer


class Device(DeviceView):
    """One of one's devices."""

    needs = {"GET": MANAGE, "PUT": MANAGE, "PATCH": MANAGE, "DELETE": MANAGE}

    @extend_schema(
        operation_id="device_state",
        summary="The state of a device, and why",
        responses={200: DeviceDetailAnswer, **said(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """The device with its timeline."""
        device = self.one(pk)
        lines = list(device.transitions.order_by("-pk")[:TIMELINE_MAX])[::-1]
        timeline = DeviceDetailAnswer().fields["timeline"].to_representation(lines)
        return Response({**DeviceAnswer(device).data, "timeline": timeline})

    @extend_schema(
        operation_id="device_refresh",
        summary="Give a device its new address",
        description="As registering with the same installation: the old address becomes `invalid` (`replaced`), and "
        "the answer is the new one, which has an id of its own.",
        request=AddressForm,
        responses={200: RegisteredAnswer, 201: RegisteredAnswer, **said(400, 404, 413, 415, 429, 503)},
    )
    def put(self, request: Request, pk: int) -> Response:
        """Register an address for the device's installation."""
        device = self.one(pk)
        form = AddressForm(data=request.data)
        form.is_valid(raise_exception=True)
        return self.registered(form.wish_for(device), now=timezone.now())

    @extend_schema(
        operation_id="device_describe",
        summary="Change what a device says of itself",
        description="Also tells that it is still there: a stale device is active again.",
        request=AboutForm,
        responses={200: DeviceAnswer, **said(400, 404, 413, 415)},
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Name, platform, locale, version."""
        device = self.one(pk)
        form = AboutForm(data=request.data)
        form.is_valid(raise_exception=True)
        registration.describe(device=device, about=form.validated_data, now=timezone.now())
        return Response(DeviceAnswer(device).data)

    @extend_schema(
        operation_id="device_remove",
        summary="Remove a device",
        description="Nothing is sent to it from now on. Removing it again is no error.",
        parameters=[REASON],
        responses={204: None, **said(400, 404)},
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Log-out, or opt-out."""
        reason = ENDED_BY.get(request.query_params.get("reason", Reason.OPTED_OUT.value))
        if reason is None:
            raise serializers.ValidationError({"reason": [f"One of {', '.join(ENDED_BY)}."]})
        registration.remove(device=self.one(pk), reason=reason, now=timezone.now())
        return Response(status=204)


class Verify(DeviceView):
    """The device's proof that it holds its address."""

    needs = {"POST": MANAGE}

    @extend_schema(
        operation_id="device_verify",
        summary="Send back the nonce of a test push",
        description="`data.nonce` of the push. Makes the device `active`; if it claimed an address of another user, "
        "that one ends in the same moment.",
        request=VerifyForm,
        responses={200: DeviceAnswer, **said(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Compare it."""
        device = self.one(pk)
        form = VerifyForm(data=request.data)
        form.is_valid(raise_exception=True)
        proven = verification.echoed(device=device, given=form.validated_data["nonce"], now=timezone.now())
        if not proven and device.status != DeviceStatus.ACTIVE:
            raise Problem("nonce_wrong", "Register again to be sent another one.")
        return Response(DeviceAnswer(device).data)


class Refresh(DeviceView):
    """A new address by the token of its registration: the browser replaced it, and nobody is logged in."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """Register it for the token's installation."""
        form = RefreshForm(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            device = refreshing.owner(form.validated_data["token"])
        except refreshing.BadToken as error:
            raise Problem("refresh_token_invalid", f"It is of no use: {error}.") from error
        return self.registered(form.wish_for(device), now=timezone.now())


class Throttled(Problem):
    """429 with when to try again."""

    def __init__(self, grant: limiter.Grant, *, now: datetime) -> None:
        limit, seconds = limiter.allowance(grant.limit)
        super().__init__("throttled", f"At most {limit} registrations in {seconds // 60} minutes.")
        wait = math.ceil(((grant.until or now) - now).total_seconds())
        self.headers = {"Retry-After": str(max(wait, 1))}
