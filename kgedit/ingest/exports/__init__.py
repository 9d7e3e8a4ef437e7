"""Exports of a store: adapter, checkpoint or delta, with a model card, verified from the files."""
