"""How work is done: states, claim, schedule, limits, drain; knows no e-mail and no Stripe."""
