"""Gathers the admin classes of the money side."""

from payments import order_admin, problem_admin, product_admin, record_admin

__all__ = ["order_admin", "problem_admin", "product_admin", "record_admin"]
