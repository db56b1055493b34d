"""Campaigns, event intake, rollups, snapshots, panels, pages."""
