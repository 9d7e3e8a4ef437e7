"""Editing methods: one file each, one line in `base.METHODS`."""
