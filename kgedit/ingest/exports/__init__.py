"""Exports of a store: adapter, checkpoint or delta, each with a model card, verified from its files."""
