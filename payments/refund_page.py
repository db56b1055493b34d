"""The page of a refund: GET shows what would go back (`?amount=12.50` for a part), POST with a reason does it.

What was shown is sealed into the form with a key of its own: a second submission of the form is the same refund, and
one that comes after somebody else's finds the sum changed and does nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from payments import money, refunds
from payments.models import Order, Problem, Refund
from queues.desk.forms import ReasonForm
from queues.desk.requests import actor_of

SALT = "payments.refund"
SHOWN_FOR_SECONDS = 3600


def view(
    request: HttpRequest, *, site: AdminSite, order: Order | None, problem: Problem | None, back: str
) -> HttpResponse:
    """Ask, or do it. The caller has checked the permission; `refunds.wish` does so again."""
    payment = refunds.of_problem(problem) if problem is not None else refunds.of_order(_order(order))
    if request.method == "GET":
        return _ask(request, site, order, problem, payment, ReasonForm(), back)
    sealed = request.POST.get("sealed", "")
    try:
        amount, seen, key = _opened(sealed, request, payment)
    except signing.BadSignature:
        messages.error(request, "Nothing was done: the preview was too old. Look at it again, then confirm.")
        return redirect(request.get_full_path())
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _ask(request, site, order, problem, payment, form, back, sealed=sealed, amount=amount)
    if seen != payment.back and not Refund.objects.filter(key=key).exists():
        messages.error(request, "Nothing was done: another refund came between. Look at what is left.")
        return redirect(request.path)
    reason = form.cleaned_data["reason"]
    try:
        made = refunds.wish(
            order=order,
            problem=problem,
            key=uuid.UUID(key),
            amount=amount,
            actor=actor_of(request),
            reason=reason,
            now=timezone.now(),
        )
    except refunds.Refused as refused:
        messages.error(request, f"Nothing was done: {refused}")
        return redirect(back)
    _tell(request, refunds.send(made))
    return redirect(back)


def _ask(
    request: HttpRequest,
    site: AdminSite,
    order: Order | None,
    problem: Problem | None,
    payment: refunds.Payment,
    form: ReasonForm,
    back: str,
    *,
    sealed: str = "",
    amount: int | None = None,
) -> HttpResponse:
    wrong = ""
    if amount is None:
        amount, wrong = _wished(request, payment)
    about = f"order {order}" if order is not None else "a payment without an order"
    context = {
        **site.each_context(request),
        "title": f"Refund {about}",
        "order": order,
        "problem": problem,
        "payment": payment,
        "partial": problem is None,
        "written": request.GET.get("amount", "") if wrong else money.plain(amount, payment.currency),
        "wrong": wrong,
        "goes_back": money.show(amount, payment.currency),
        "facts": [
            ("Paid", money.show(payment.paid, payment.currency)),
            ("Gone back before", money.show(payment.back, payment.currency)),
            ("Goes back now", money.show(amount, payment.currency)),
            ("Left afterwards", money.show(max(payment.left - amount, 0), payment.currency)),
            ("To", "the card or account it was paid with"),
            ("Told", order.email if order is not None and order.email else "nobody: no address is known"),
            ("Payment", payment.intent),
        ],
        "sealed": sealed or _sealed(request, payment, amount),
        "form": form,
        "back": back,
    }
    return TemplateResponse(request, "payments/refund.html", context, status=400 if form.errors or wrong else 200)


def _wished(request: HttpRequest, payment: refunds.Payment) -> tuple[int, str]:
    """The amount asked for, by default everything that is left; or what is wrong with it."""
    text = request.GET.get("amount", "")
    if not text:
        return payment.left, ""
    try:
        amount = money.parse(text, payment.currency)
    except ValueError as error:
        return payment.left, str(error)
    if not 0 < amount <= payment.left:
        return payment.left, f"At most {money.show(payment.left, payment.currency)}, and more than nothing."
    return amount, ""


def _sealed(request: HttpRequest, payment: refunds.Payment, amount: int) -> str:
    said = [request.user.pk, payment.intent, amount, payment.back, str(uuid.uuid4())]
    return signing.dumps(said, salt=SALT)


def _opened(sealed: str, request: HttpRequest, payment: refunds.Payment) -> tuple[int, int, str]:
    """Amount, what had gone back when it was shown, and the key. Raises BadSignature."""
    user, intent, amount, seen, key = signing.loads(sealed, salt=SALT, max_age=SHOWN_FOR_SECONDS)
    if user != request.user.pk or intent != payment.intent:
        raise signing.BadSignature("of another page")
    return amount, seen, key


def _tell(request: HttpRequest, made: Refund) -> None:
    amount = money.show(made.amount, made.currency)
    if made.state == Refund.State.REQUESTED:
        words = f"{amount} will go back: Stripe has not answered yet and is asked again every minute, once for all."
        messages.warning(request, words)
    elif made.state == Refund.State.FAILED:
        messages.error(request, f"Nothing went back: {made.words}")
    else:
        messages.success(request, f"{amount} goes back.")


def _order(order: Any) -> Order:
    assert order is not None, "an order or a problem"
    return order  # type: ignore[no-any-return]
