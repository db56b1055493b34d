"""API tokens at the desk: the list, making one (shown once), revoking one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from queues.desk import marks, operations, permissions, reasoned, token_acts
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import request_id
from queues.desk.selection import ID_MAX
from queues.desk.tokens import ApiToken

LIST = "admin:queues_apitoken_changelist"
DAYS = [(30, "30 days"), (90, "90 days"), (365, "one year"), (0, "for ever, until it is revoked")]
SHAPES = {"active": "good", "expired": "cancelled", "revoked": "bad"}


class TokenForm(ReasonForm):
    """What a new token is for."""

    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"class": "desk-input", "autocomplete": "off"}),
        help_text="The program that will use it, for example “shop, production”.",
    )
    user = forms.ModelChoiceField(
        queryset=get_user_model()._default_manager.none(),
        empty_label=None,
        widget=forms.Select(attrs={"class": "desk-input"}),
        help_text="The token may do what this account may do.",
    )
    days = forms.TypedChoiceField(
        label="Holds",
        coerce=int,
        choices=DAYS,
        initial=365,
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    field_order = ["name", "user", "days", "reason"]

    def __init__(self, *args: Any, by: User, **options: Any) -> None:
        super().__init__(*args, **options)
        users = User.objects.filter(is_active=True).order_by("username")
        cast(Any, self.fields["user"]).queryset = users if by.is_superuser else users.filter(pk=by.pk)
        self.fields["user"].initial = by.pk


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    """What programs log in with."""

    list_display = ("name", "user", "shown", "state", "expires", "used", "revoke_link")
    fields = ("name", "user", "shown", "state", "expires", "used", "created_at", "created_by", "revoked_at")
    readonly_fields = fields
    ordering = ("-id",)
    list_select_related = ("user",)
    search_fields = ("prefix__exact", "user__username__exact")
    search_help_text = "The first ten characters of the token, or the exact user name"
    change_list_template = "tokens/list.html"

    def get_urls(self) -> list[URLPattern]:
        """Two pages of acts before the usual ones."""
        both = require_http_methods(["GET", "POST"])
        wrap = self.admin_site.admin_view
        return [
            path("make/", wrap(never_cache(both(self.make_view))), name="queues_apitoken_make"),
            path("<int:token_id>/revoke/", wrap(both(self.revoke_view)), name="queues_apitoken_revoke"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with a button for who may make tokens."""
        extra = {"may_make": permissions.may(request.user, "add", ApiToken)}
        return cast(HttpResponse, super().changelist_view(request, extra | (extra_context or {})))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        """Never with the hash."""
        return cast(QuerySet[ApiToken], super().get_queryset(request).defer("digest"))

    @sensitive_variables("secret", "context")
    def make_view(self, request: HttpRequest) -> HttpResponse:
        """Make one and show its secret, in this answer and nowhere else: no message, no session, no cache keeps it."""
        if not permissions.may(request.user, "add", ApiToken):
            raise PermissionDenied
        form = TokenForm(request.POST or None, by=cast(User, request.user))
        request.current_app = self.admin_site.name
        context = self.admin_site.each_context(request) | {"back": reverse(LIST)}
        if request.method != "POST" or not form.is_valid():
            context |= {
                "title": "Make an API token",
                "effect": "A program that has it may do what its account may do. It is shown once, on the next page.",
                "button": "Make the token",
                "form": form,
            }
            return TemplateResponse(request, "desk/reasoned.html", context, status=400 if form.errors else 200)
        said = form.cleaned_data
        token, secret = token_acts.make(
            user=said["user"],
            name=said["name"],
            lifetime=timedelta(days=said["days"]) if said["days"] else None,
            actor=_actor(request),
            reason=said["reason"],
            now=timezone.now(),
        )
        context |= {"title": f"Token of {token.user}", "token": token, "secret": secret}
        return TemplateResponse(request, "tokens/made.html", context)

    def revoke_view(self, request: HttpRequest, token_id: int) -> HttpResponse:
        """End one."""
        token = ApiToken.objects.select_related("user").filter(pk=token_id).first() if token_id <= ID_MAX else None
        if not (permissions.may(request.user, "view", ApiToken) or (token and token.user_id == request.user.pk)):
            raise PermissionDenied
        if token is None:
            raise Http404
        actor = _actor(request)
        if not token_acts.may_revoke(actor, token):
            raise PermissionDenied
        form = ReasonForm(request.POST or None)

        def act() -> str:
            done = token_acts.revoke(token=token, actor=actor, reason=form.cleaned_data["reason"], now=timezone.now())
            return f"{token} opens nothing any more." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Revoke {token}",
            effect=f"The program that uses it, made for {token.user}, gets 401 from now on. This cannot be undone.",
            button="Revoke",
            back=reverse(LIST),
            form=form,
            act=act,
            refusal="Nothing was done: it had been revoked already.",
            gives_up=True,
        )

    @display(description="token")
    def shown(self, row: ApiToken) -> SafeString:
        """Its first characters."""
        return format_html("<code>{}…</code>", row.prefix)

    @display(description="state")
    def state(self, row: ApiToken) -> SafeString:
        """Whether it opens anything."""
        word = row.state(now=timezone.now())
        return marks.badge(SHAPES[word], word.capitalize())

    @display(description="expires")
    def expires(self, row: ApiToken) -> SafeString | str:
        """When it stops by itself."""
        return marks.moment(row.expires_at, now=timezone.now()) if row.expires_at else "never"

    @display(description="last used")
    def used(self, row: ApiToken) -> SafeString:
        """To the minute."""
        return marks.moment(row.last_used_at, now=timezone.now())

    @display(description="")
    def revoke_link(self, row: ApiToken) -> SafeString | str:
        """To the page that asks for a reason."""
        if row.state(now=timezone.now()) != "active":
            return ""
        url = reverse("admin:queues_apitoken_revoke", args=[row.pk])
        return format_html('<a class="desk-link" href="{}" aria-label="Revoke {}">Revoke…</a>', url, row.name)


def _actor(request: HttpRequest) -> operations.Actor:
    return operations.Actor.of(cast(User, request.user), request_id=request_id(request))
