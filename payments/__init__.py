"""Orders, checkout, refunds, disputes: what a Stripe event means."""
