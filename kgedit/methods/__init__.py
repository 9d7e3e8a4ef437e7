"""Editing methods: a file or a folder each, and a line in `registry.METHODS`."""
