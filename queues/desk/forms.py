"""The forms of the desk: a reason for every act, and an address to suppress."""

from __future__ import annotations

from django import forms

from queues.email import addresses, suppressions

REASON_MAX = 500


class ReasonForm(forms.Form):
    """Why staff do it; it goes into the ledger."""

    reason = forms.CharField(
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True, "class": "desk-input"}),
        error_messages={"required": "Say why: the reason goes into the ledger."},
        help_text="For whoever looks at this later, for example: “mail server repaired, see incident 42”.",
    )


class PauseForm(ReasonForm):
    """How long a queue rests."""

    hours = forms.TypedChoiceField(
        label="Resume by itself",
        coerce=int,
        choices=[(0, "never, staff resume it"), (1, "after 1 hour"), (4, "after 4 hours"), (24, "after 24 hours")],
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
