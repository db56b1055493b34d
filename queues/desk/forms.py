"""The forms of the desk: a reason for every act, and an address to suppress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from queues.desk import parameters
from queues.desk.bulk.operation import PACE_MAX
from queues.desk.parameters import Parameter
from queues.email import addresses, suppressions

REASON_MAX = 500


class ReasonForm(forms.Form):
    """Why staff do it; it goes into the ledger."""

    @property
    def given(self) -> dict[str, Any]:
        """The act's parameters, of a valid form."""
        fields = self.fields.items()
        return {name: self.cleaned_data[name] for name, field in fields if isinstance(field, ParameterField)}

    reason = forms.CharField(
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True, "class": "desk-input"}),
        error_messages={"required": "Say why: the reason goes into the ledger."},
        help_text="For whoever looks at this later, for example: “mail server repaired, see incident 42”.",
    )


class StartForm(ReasonForm):
    """How an operation is carried out."""

    pace = forms.IntegerField(
        label="Items a minute",
        min_value=1,
        max_value=PACE_MAX,
        widget=forms.NumberInput(attrs={"class": "desk-input", "inputmode": "numeric"}),
    )
    canary = forms.BooleanField(
        label="Try a few first",
        required=False,
        initial=True,
        help_text="One, then 5, then 25, then more: if they fail as before, it halts itself and leaves the rest.",
    )


def for_act[Form: ReasonForm](base: type[Form], wanted: Iterable[Parameter]) -> type[Form]:
    """The form with a field for each parameter that the act wants; `given` of an instance are their values."""
    fields = {parameter.name: ParameterField(parameter) for parameter in wanted}
    return type(base.__name__, (base,), {**fields, "field_order": [*fields, "reason"]})


class ParameterField(forms.CharField):
    """Text that its parameter reads."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        choices = [(name, name.capitalize()) for name in parameters.PRIORITIES]
        box: forms.Widget = forms.TextInput(attrs={"class": "desk-input", "autocomplete": "off"})
        if parameter == parameters.PRIORITY:
            box = forms.Select(attrs={"class": "desk-input"}, choices=choices)
        help_text = "" if parameter == parameters.PRIORITY else parameter.help
        super().__init__(label=parameter.label, help_text=help_text, widget=box, max_length=50)

    def clean(self, value: Any) -> Any:
        """What JSON keeps of it."""
        try:
            return self.parameter.read(super().clean(value))
        except ValueError as error:
            raise forms.ValidationError(f"Give {error}.") from error


class ExportForm(ReasonForm):
    """A file of items."""

    form = forms.ChoiceField(
        label="As",
        choices=[("csv", "CSV, for a spreadsheet"), ("ndjson", "NDJSON, a line of JSON for each")],
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    field_order = ["form", "reason"]


class PauseForm(ReasonForm):
    """What of a queue rests, and how long."""

    kind = forms.CharField(
        label="Only the type",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"class": "desk-input", "autocomplete": "off"}),
        help_text="For example newsletter or charge.refunded; empty: the whole queue.",
    )
    hours = forms.TypedChoiceField(
        label="Resume by itself",
        coerce=int,
        choices=[(0, "never, staff resume it"), (1, "after 1 hour"), (4, "after 4 hours"), (24, "after 24 hours")],
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    field_order = ["kind", "hours", "reason"]

    def clean_kind(self) -> str:
        """A name of one line."""
        kind = str(self.cleaned_data["kind"])
        if kind and not kind.isprintable():
            raise forms.ValidationError("This is no type.")
        return kind


class IgnoreForm(ReasonForm):
    """How long a failure group is left out of sight."""

    hours = forms.TypedChoiceField(
        label="Ignore it",
        coerce=int,
        choices=[(4, "for 4 hours"), (24, "for 24 hours"), (168, "for a week"), (720, "for 30 days")],
        widget=forms.Select(attrs={"class": "desk-input"}),
    )


class SuppressForm(ReasonForm):
    """An address that must not get mail."""

    address = forms.CharField(
        max_length=addresses.HEADER_MAX,
        widget=forms.TextInput(attrs={"class": "desk-input", "autocomplete": "off", "inputmode": "email"}),
    )
    scope = forms.CharField(
        max_length=100,
        initial=suppressions.ALL,
        widget=forms.TextInput(attrs={"class": "desk-input", "list": "scopes"}),
        help_text="all: no mail at all; bulk: nothing that can be unsubscribed; or one e-mail type.",
    )
    field_order = ["address", "scope", "reason"]

    def clean_address(self) -> str:
        """The form that suppressions are compared in."""
        try:
            return addresses.normalize(self.cleaned_data["address"])
        except ValueError as error:
            raise forms.ValidationError(f"This is no e-mail address: {error}.") from error
