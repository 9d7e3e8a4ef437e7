"""Feeds of changes: one file for each kind, one line for each in `base.FEEDS`; plugins add further kinds."""
