"""The panels of a campaign's page: each a named question, and how its answer is laid out. One file for each kind."""
