"""The catalogue at the desk: the one place where prices are made. Every change is in the ledger."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from payments import money, refunds
from payments.models import Product
from queues.desk import bounded, ledger
from queues.desk.requests import actor_of


@admin.register(Product)
class ProductAdmin(ModelAdmin):
    """What is for sale. A product that was sold is taken off sale, not deleted."""

    list_display = ("sku", "name", "price", "quantity_max", "active")
    fields = ("sku", "name", "unit_amount", "currency", "quantity_max", "active")
    ordering = ("sku",)
    search_fields = ("sku__exact", "name__startswith")
    actions = None
    show_full_result_count = False
    paginator = bounded.CappedPaginator
    list_per_page = 50
    sortable_by = ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Orders name it."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Its name among programs stays."""
        return ("sku",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Product, form: ModelForm[Product], change: bool) -> None:
        """Save it with its ledger entry, in the transaction that the admin's view has begun."""
        super().save_model(request, obj, form, change)
        actor = actor_of(request)
        ledger.record(
            act="change_product" if change else "add_product",
            actor=actor.user,
            actor_name=actor.name,
            queue=refunds.QUEUE,
            plan=f"{obj.sku}: {obj}",
            reason="changed in the catalogue" if change else "new in the catalogue",
            result={"changed": sorted(form.changed_data)},
            request_id=actor.request_id,
            now=timezone.now(),
        )

    @display(description="price")
    def price(self, row: Product) -> str:
        """With its currency."""
        return money.show(row.unit_amount, row.currency)
