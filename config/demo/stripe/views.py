"""The fake Stripe's pages: its API, its payment page, and the board from which its events are sent.

Only in `make up`, and only where no key of the real Stripe is set.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.demo.stripe import sender, store
from config.demo.stripe.account import ApiError
from config.demo.stripe.api import answer
from config.up.plan import FAKE_STRIPE_KEY
from payments import money

SHOWN = 20
ACTS = {
    "pay": "Pay by card",
    "pay_slowly": "Pay by a slow method",
    "decline": "Try a card that is declined",
    "expire": "Let the time run out",
    "arrive": "The slow money arrives",
    "bounce": "The slow money does not come",
    "dispute": "Customer disputes it",
    "win": "Bank decides for us",
    "lose": "Bank decides for the customer",
    "refund": "Refund a part at Stripe",
    "fail_refund": "Last refund fails",
}


@csrf_exempt
@require_http_methods(["GET", "POST"])
def api(request: HttpRequest, path: str) -> HttpResponse:
    """What stripe-python calls."""
    if request.headers.get("Authorization") != f"Bearer {FAKE_STRIPE_KEY}":
        return JsonResponse({"error": {"message": "Invalid API Key provided"}}, status=401)
    fields = request.META["QUERY_STRING"] if request.method == "GET" else request.body.decode()
    key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
    digest = hashlib.sha256(f"{path} {fields}".encode()).hexdigest()
    with _book() as book:
        known = book.keys.get(key)
        if known is not None and known[0] != digest:
            words = "Keys for idempotent requests can only be used with the same parameters."
            return JsonResponse({"error": {"type": "idempotency_error", "message": words}}, status=400)
        if known is not None:
            return JsonResponse(known[2], status=known[1])
        before = len(book.account.events)
        status, found = answer(book.account, method=str(request.method), path=f"/{path}", fields=fields)
        if key and status == 200:
            book.keys[key] = [digest, status, found]
        fresh = book.account.events[before:]
    if fresh:
        _deliver(fresh)
    return JsonResponse(found, status=status)


@login_required
@require_safe
def pay(request: HttpRequest, session_id: str) -> HttpResponse:
    """The page that Stripe would show for a session."""
    with _book() as book:
        session = book.account.objects.get(session_id)
    if session is None or session["object"] != "checkout.session":
        raise Http404
    acts = [(name, ACTS[name]) for name in ("pay", "pay_slowly", "decline", "expire")]
    context = {
        "session": session,
        "lines": session["_lines"],
        "total": money.show(session["amount_total"], session["currency"]),
        "acts": acts if session["status"] == "open" else [],
        "ends": datetime.fromtimestamp(session["expires_at"], UTC),
    }
    return render(request, "demo/stripe_pay.html", context)


@login_required
@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """All payments, and the events that told of them."""
    with _book() as book:
        account, deliveries = book.account, book.deliveries
    sessions = [each for each in account.objects.values() if each["object"] == "checkout.session"]
    rows = [_row(account.objects, session) for session in sessions[::-1][:SHOWN]]
    sent = [(each, datetime.fromtimestamp(each["at"], UTC)) for each in deliveries[::-1][:SHOWN]]
    return render(request, "demo/stripe_board.html", {"rows": rows, "sent": sent})


@login_required
@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """What the customer, the bank or time does; then its events are sent."""
    name, _colon, about = request.POST.get("act", "").partition(":")
    if name not in ACTS:
        raise Http404
    try:
        with _book() as book:
            before = len(book.account.events)
            done = _done(book.account, name, about)
            fresh = book.account.events[before:]
    except ApiError as error:
        messages.error(request, str(error))
        return redirect("demo:stripe-board")
    sent = _deliver(fresh)
    told = ", ".join(f"{each['type']} ({each['answer']})" for each in sent)
    messages.success(request, f"{ACTS[name]}. Sent: {told}.")
    if name in ("pay", "pay_slowly") and request.POST.get("return"):
        return redirect(done["success_url"])
    if name == "decline" and request.POST.get("return"):
        return redirect("demo:stripe-pay", about)
    return redirect("demo:stripe-board")


@login_required
@require_POST
def again(request: HttpRequest) -> HttpResponse:
    """Send events once more, as Stripe may: one, or the last twenty in reverse order."""
    wanted = request.POST.get("event", "")
    with _book() as book:
        events = [each for each in book.account.events if not wanted or each["id"] == wanted][-SHOWN:]
    sent = _deliver(events[::-1])
    messages.success(request, f"Sent {len(sent)} again: nothing may change by it.")
    return redirect("demo:stripe-board")


def _done(account: Any, name: str, about: str) -> Any:
    match name:
        case "win" | "lose":
            return account.decide(about, won=name == "win")
        case "refund":
            charge = account._charge_of({"payment_intent": about})
            left = charge["amount"] - charge["amount_refunded"]
            return account.create_refund({"payment_intent": about, "amount": max(left // 3, 1)})
    return getattr(account, name)(about)


def _row(objects: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
    """One payment with what can happen to it next."""
    intent = objects.get(session["payment_intent"] or "")
    charge = objects.get((intent or {}).get("latest_charge") or "")
    about = [each for each in objects.values() if charge and each.get("charge") == charge["id"]]
    disputes = [each for each in about if each["object"] == "dispute"]
    refunds = [each for each in about if each["object"] == "refund"]
    acts: list[tuple[str, str]] = []
    if session["status"] == "complete" and charge is None:
        acts += [("arrive", session["id"]), ("bounce", session["id"])]
    if charge and not disputes and charge["amount_refunded"] < charge["amount"]:
        acts += [("refund", charge["payment_intent"]), ("dispute", charge["payment_intent"])]
    acts += [(name, each["id"]) for each in disputes if each["status"] == "needs_response" for name in ("win", "lose")]
    acts += [("fail_refund", each["id"]) for each in refunds[-1:] if each["status"] == "succeeded"]
    facts = [session["status"], session["payment_status"]]
    if charge and charge["amount_refunded"]:
        facts.append(f"{money.show(charge['amount_refunded'], charge['currency'])} back")
    facts += [f"dispute {each['status'].replace('_', ' ')}" for each in disputes]
    return {
        "session": session,
        "total": money.show(session["amount_total"], session["currency"]),
        "facts": facts,
        "acts": [(name, about, ACTS[name]) for name, about in acts],
    }


def _deliver(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sent = sender.send(events)
    with _book() as book:
        book.deliveries += sent
    return sent


def _book() -> AbstractContextManager[store.Book]:
    page = reverse("demo:stripe-pay", args=["x"]).removesuffix("x/")
    return store.opened(settings.VAR_DIR / "stripe", page_url=f"{settings.BASE_URL}{page}")
