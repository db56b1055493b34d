"""Staff: operations, ledger, admin, pages, API."""
