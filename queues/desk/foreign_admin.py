"""Other apps' tables, registered again in the desk's own look: accounts and groups, the clock's schedules and tasks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from queues.desk import schedule_page
from queues.desk.records_admin import RecordAdmin

for foreign in (User, Group, Success, Failure, OrmQ, Schedule):
    if admin.site.is_registered(foreign):
        admin.site.unregister(foreign)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Accounts of staff, customers and programs."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions = None
    list_per_page = 50


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Operator, Observer, and whatever the company adds."""

    actions = None


@admin.register(Schedule)
class ScheduleAdmin(RecordAdmin):
    """Recurring work; the table of it is in the code, and a migrate sets these rows to it."""

    list_display = ("name", "func", "schedule_type", "minutes", "cron", "next_run", "run_link")
    ordering = ("name",)

    def get_urls(self) -> list[URLPattern]:
        """Running one now, before the usual pages."""
        wrapped = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.run_view))
        return [path("<int:schedule_id>/run/", wrapped, name="django_q_schedule_run"), *super().get_urls()]

    def run_view(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        """Ask for the reason, then run it."""
        return schedule_page.view(request, schedule_id, site=self.admin_site)

    @display(description="act")
    def run_link(self, row: Schedule) -> SafeString:
        """To the page that asks for a reason."""
        address = reverse("admin:django_q_schedule_run", args=[row.pk])
        return format_html('<a class="desk-link" href="{}">Run now…</a>', address)


class TaskAdmin(RecordAdmin):
    """What the clock ran. Nothing is resubmitted here: what a task should do is still due in the queues."""

    list_display = ("name", "func", "started", "stopped", "group")
    fields = ("name", "func", "args", "kwargs", "result", "started", "stopped", "group", "attempt_count")
    readonly_fields = fields
    ordering = ("-stopped",)


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    """Tasks that ended well (the last few are kept)."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Only those."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(success=True)


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Tasks that raised."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Only those."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(success=False)


@admin.register(OrmQ)
class WaitingTaskAdmin(RecordAdmin):
    """Tasks that wait for a worker process."""

    list_display = ("id", "key", "task_id", "lock")
    fields = ("key", "task_id", "lock")
    readonly_fields = fields
    ordering = ("id",)
