"""Log-in, password reset and the page behind "/": Django's own views with our templates (`templates/accounts/`).

The admin's log-in and log-out lead here too, so that there is one of each.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import forms, views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template import loader
from django.urls import path, reverse_lazy
from django.utils import timezone
from django.views.generic import RedirectView

from notifications.devices import registration

STAFF_ROOT = "/admin/"


class PasswordResetForm(forms.PasswordResetForm):
    """Sends the link as a `password_reset`, which overtakes other mail; it leads to BASE_URL, not to "Host"."""

    def save(self, **options: Any) -> None:  # type: ignore[override]
        """Send the link to every account with that address."""
        options |= {"domain_override": urlsplit(settings.BASE_URL).netloc, "use_https": settings.HTTPS}
        super().save(**options)

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Enqueue it. Unlike Django's, an error is not swallowed: "sent" must be true."""
        subject = " ".join(loader.render_to_string(subject_template_name, context).split())
        text = loader.render_to_string(email_template_name, context)
        headers = {"X-Email-Type": "password_reset"}
        EmailMessage(subject, text, from_email, [to_email], headers=headers).send()


class LoginView(views.LoginView):
    """One log-in for everyone; it says so when an account may not go where it was headed."""

    template_name = "accounts/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Who is logged in and may go on goes on."""
        if request.method == "GET" and request.user.is_authenticated and not self._barred():
            return redirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Whether the account in use is the wrong one."""
        return super().get_context_data(barred=self._barred(), **kwargs)

    def _barred(self) -> bool:
        user = self.request.user
        return user.is_authenticated and not user.is_staff and self.get_redirect_url().startswith(STAFF_ROOT)


class LogoutView(views.LogoutView):
    """Log-out, which also ends the pushes to this browser: they would be shown to whoever uses it next."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """End what this session registered, then the session."""
        held = request.session.get(registration.SESSION_KEY)
        if held and isinstance(request.user, User):
            app, installation_id = held
            registration.log_out(user=request.user, app=app, installation_id=installation_id, now=timezone.now())
        return super().post(request, *args, **kwargs)


def home(request: HttpRequest) -> HttpResponse:
    """Staff go to the desk; everyone else sees their account."""
    if request.user.is_authenticated and request.user.is_staff:
        return redirect("admin:index")
    return account(request)


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Who is logged in, and what they can do here."""
    return render(request, "accounts/account.html")


urlpatterns = [
    path("", home, name="home"),
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/logout/", LogoutView.as_view()),
    path("accounts/", account, name="account"),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path(
        "accounts/password_change/",
        views.PasswordChangeView.as_view(template_name="accounts/password_change.html"),
        name="password_change",
    ),
    path(
        "accounts/password_change/done/",
        views.PasswordChangeDoneView.as_view(template_name="accounts/password_change_done.html"),
        name="password_change_done",
    ),
    path(
        "accounts/password_reset/",
        views.PasswordResetView.as_view(
            form_class=PasswordResetForm,
            template_name="accounts/password_reset.html",
            email_template_name="accounts/password_reset_email.txt",
            subject_template_name="accounts/password_reset_subject.txt",
        ),
        name="password_reset",
    ),
    path(
        "accounts/password_reset/done/",
        views.PasswordResetDoneView.as_view(template_name="accounts/password_reset_done.html"),
        name="password_reset_done",
    ),
    path(
        "accounts/reset/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(
            template_name="accounts/password_reset_confirm.html",
            success_url=reverse_lazy("password_reset_complete"),
        ),
        name="password_reset_confirm",
    ),
    path(
        "accounts/reset/done/",
        views.PasswordResetCompleteView.as_view(template_name="accounts/password_reset_complete.html"),
        name="password_reset_complete",
    ),
]
