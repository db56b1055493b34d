"""The status of an order follows from its facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from payments import states
from payments.states import Status

NOW = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass
class Facts:
    paid_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    amount_paid: int = 0
    amount_refunded: int = 0


def paid(refunded: int = 0) -> Facts:
    return Facts(paid_at=NOW, amount_paid=1000, amount_refunded=refunded)


@pytest.mark.parametrize(
    ("facts", "disputes", "status"),
    [
        (Facts(), [], Status.PENDING),
        (Facts(expired_at=NOW), [], Status.EXPIRED),
        (Facts(canceled_at=NOW), [], Status.CANCELED),
        (Facts(expired_at=NOW, canceled_at=NOW), [], Status.EXPIRED),
        (paid(), [], Status.PAID),
        (paid(1), [], Status.PARTIALLY_REFUNDED),
        (paid(1000), [], Status.REFUNDED),
        (paid(), ["needs_response"], Status.DISPUTED),
        (paid(), ["warning_needs_response"], Status.DISPUTED),
        (paid(), ["under_review"], Status.DISPUTED),
        (paid(300), ["won"], Status.PARTIALLY_REFUNDED),
        (paid(), ["won", "needs_response"], Status.DISPUTED),
        (paid(), ["lost"], Status.DISPUTED),
        (paid(), ["warning_closed"], Status.PAID),
        (paid(), ["a state invented tomorrow"], Status.DISPUTED),
    ],
)
def test_status(facts: Facts, disputes: list[str], status: Status):
    assert states.of(facts, disputes=disputes) == status
