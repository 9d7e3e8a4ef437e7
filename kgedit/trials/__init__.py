"""Trials of edits: facts that a model recalls are changed one by one, asked about, and put back."""
