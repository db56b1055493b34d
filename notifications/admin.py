"""Gathers the admin classes of push."""

from notifications import delivery_admin, device_admin, installation_admin, lane_admin

__all__ = ["delivery_admin", "device_admin", "installation_admin", "lane_admin"]
