"""Tuning: which layer and which settings of a method suit a model, tried on edits of facts that it recalls."""
