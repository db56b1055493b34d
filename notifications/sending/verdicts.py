"""What a push service's answer means for the delivery, the device and the lane.

    verdict      delivery                                  device                    lane, service
    accepted     ack                                       last success              open, breaker closed
    retry        retry, by the schedule or Retry-After     4xx to the end: a failure 5xx, silence: breaker
    uncertain    retry with the same collapse id           –                         breaker
    invalidate   dead letter: failed                       invalid, or quarantined   open
    suspect      dead letter: failed                       suspect                   open
    fault        dead letter: failed                       –                         the campaign is held
    stop         snooze, not charged                       –                         stopped
    unknown      retry, and an alert                       –                         –

Effects on devices commit together with the settlement, or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.devices import transitions, verification
from notifications.models import PushDelivery, PushDevice
from notifications.sending import figures, lanes, quarantine
from notifications.states import DeviceStatus, Transport
from notifications.transports.answers import Answer, Verdict
from queues.engine import breaker, log
from queues.engine.item import QueueItem
from queues.engine.outcomes import Outcome, Permanent, Snooze, Transient, Uncertain
from queues.engine.registry import Done

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One push that was sent: by which lane, service and campaign, and what was known of them before."""

    delivery: PushDelivery
    device: PushDevice
    lane: lanes.Key
    service: str
    campaign: str
    lanes: lanes.Rows
    breakers: breaker.Reading
    closed: dict[str, datetime]
    taken: deque[PushDevice]


@dataclass(frozen=True, slots=True)
class Heard:
    """What an outcome carries from the hand to `on_dead`."""

    attempt: Attempt
    answer: Answer
    at: datetime


def judge(attempt: Attempt, answer: Answer, *, now: datetime) -> Done:
    """The ack of a push that was taken. Raises the outcome of one that was not."""
    if answer.verdict == Verdict.STOP:
        raise _via(attempt, _stopped(attempt, answer, now=now))
    if answer.verdict != Verdict.UNKNOWN:
        lanes.works(attempt.lane, attempt.lanes, now=now)
    _tell_breakers(attempt, answer, now=now)
    if answer.verdict == Verdict.ACCEPTED:
        if _is_plain(attempt):
            attempt.taken.append(attempt.device)
        return Done(
            words=answer.words or "accepted",
            via=attempt.device.transport,
            fields={
                "accepted_at": now,
                "provider_id": answer.provider_id[:255],
                "lane_key": attempt.lane.short[:200],
            },
            effect=lambda: _taken(attempt, answer, now=now),
        )
    raise _via(attempt, _outcome(attempt, answer, now=now))


def on_dead(item: QueueItem, outcome: Any) -> Callable[[], None]:
    """Commit with the dead letter: why it failed, and what that says of the device."""
    heard: Heard | None = outcome.__dict__.get("heard")
    code = str(getattr(outcome, "code", ""))
    dead = heard is not None and heard.answer.verdict == Verdict.INVALIDATE
    changes: dict[str, Any] = {"failed_reason": (f"{figures.DEAD_ADDRESS}: {code}" if dead else code)[:100]}
    if heard is not None:
        changes["lane_key"] = heard.attempt.lane.short[:200]

    def effect() -> None:
        PushDelivery.objects.filter(pk=item.pk).update(**changes)
        if heard is not None:
            _refused(heard.attempt, heard.answer, now=heard.at)

    return effect


def _is_plain(attempt: Attempt) -> bool:
    """Whether its success changes nothing but a time."""
    verifies = attempt.delivery.purpose == PushDelivery.Purpose.VERIFY
    return not verifies and attempt.device.status != DeviceStatus.SUSPECT


def _taken(attempt: Attempt, answer: Answer, *, now: datetime) -> None:
    """The first effect of a group writes the times of all of it; a state is written with its own delivery."""
    devices = {}
    while attempt.taken:
        device = attempt.taken.popleft()
        devices[device.pk] = device
    if attempt.delivery.purpose == PushDelivery.Purpose.VERIFY:
        verification.passed(delivery=attempt.delivery, device=attempt.device, answer=answer, now=now)
    if not _is_plain(attempt):
        devices[attempt.device.pk] = attempt.device
    if devices:
        transitions.succeeded(devices=list(devices.values()), now=now)
    if (environment := answer.extra.get("environment")) and environment != attempt.device.environment:
        transitions.moved(device=attempt.device, environment=environment, now=now)


def _refused(attempt: Attempt, answer: Answer, *, now: datetime) -> None:
    delivery, device = attempt.delivery, attempt.device
    if delivery.purpose == PushDelivery.Purpose.VERIFY:
        verification.failed(delivery=delivery, device=device, answer=answer, now=now)
    elif answer.verdict == Verdict.INVALIDATE:
        said: dict[str, Any] = {"answer": answer, "key": attempt.lane, "delivery_id": delivery.pk}
        if quarantine.refused(device=device, now=now, **said):
            attempt.closed[attempt.lane.name] = now + lanes.LOOK_AGAIN
    elif answer.verdict == Verdict.SUSPECT:
        transitions.suspected(device=device, answer=answer, delivery_id=delivery.pk, now=now)
    elif answer.verdict == Verdict.RETRY and _is_about_it(answer):
        transitions.failed(device=device, answer=answer, delivery_id=delivery.pk, now=now)


def _outcome(attempt: Attempt, answer: Answer, *, now: datetime) -> Outcome:
    """The delivery's end, or its next try. Carries what `on_dead` has to know."""
    words, code = answer.words or answer.reason or answer.status, _code(attempt, answer)
    outcome: Outcome
    match answer.verdict:
        case Verdict.INVALIDATE | Verdict.SUSPECT:
            outcome = Permanent(words, code=code)
        case Verdict.FAULT:
            logger.error("push.fault", via=attempt.device.transport, status=answer.status, reason=answer.reason)
            outcome = Permanent(words, code=code)
        case Verdict.UNCERTAIN:
            outcome = Uncertain(words, code=code)
        case Verdict.RETRY:
            outcome = Transient(words, code=code, retry_after=answer.retry_after)
        case _:
            # Nobody knows what it means: staff are told, and no device is harmed.
            logger.error(
                "push.unknown_answer", via=attempt.device.transport, status=answer.status, reason=answer.reason
            )
            outcome = Transient(words or "an answer nobody knows", code=code, retry_after=answer.retry_after)
    outcome.__dict__["heard"] = Heard(attempt, answer, now)
    return outcome


def _stopped(attempt: Attempt, answer: Answer, *, now: datetime) -> Snooze:
    reason = answer.lane_reason or answer.reason or answer.status or "refused"
    until = lanes.stop(attempt.lane, reason=reason, words=answer.words, last=answer.lane_for, now=now)
    until = min(until or now + lanes.LOOK_AGAIN, now + lanes.LOOK_AGAIN)
    attempt.closed[attempt.lane.name] = until
    return Snooze(f"Its lane was stopped: {reason}.", until=until, code=lanes.WAITING)


def _tell_breakers(attempt: Attempt, answer: Answer, *, now: datetime) -> None:
    """The service's: silence and 5xx against any other answer. The campaign's: what is malformed against the rest."""
    failing = answer.verdict == Verdict.UNCERTAIN or (answer.verdict == Verdict.RETRY and not _is_about_it(answer))
    _count(attempt, attempt.service, failing, answer, now=now)
    if not failing and not _is_the_endpoints(attempt, answer):
        _count(attempt, attempt.campaign, answer.verdict == Verdict.FAULT, answer, now=now)


def _is_the_endpoints(attempt: Attempt, answer: Answer) -> bool:
    """Whether a fault says something of one Web Push endpoint alone: a redirection, or 413 for what is small enough
    (RFC 8030 section 7.2). Anybody may register such an endpoint; it must not hold a campaign.
    """
    strange = answer.status == "413" or answer.status.startswith("3")
    return attempt.device.transport == Transport.WEBPUSH and answer.verdict == Verdict.FAULT and strange


def _count(attempt: Attempt, name: str, failing: bool, answer: Answer, *, now: datetime) -> None:
    shaken = name in attempt.closed or name in attempt.breakers.shaken
    if failing:
        until = breaker.failed(name=name, words=answer.words or answer.reason or answer.status, now=now)
        # Noted even before it opens, so that a success meanwhile is written down.
        attempt.closed[name] = until or now
    elif shaken:
        attempt.closed.pop(name, None)
        breaker.succeeded(name=name, now=now)


def _is_about_it(answer: Answer) -> bool:
    """Whether the service itself works: 4xx is about this push or device, 5xx and silence about the service."""
    return answer.status.startswith("4")


def _code(attempt: Attempt, answer: Answer) -> str:
    """Short and stable, so that failures group by it: `apns 410 Unregistered`."""
    return " ".join(filter(None, (attempt.device.transport, answer.status, answer.reason)))[:100]


def _via[O: Outcome](attempt: Attempt, outcome: O) -> O:
    outcome.via = attempt.device.transport
    return outcome
