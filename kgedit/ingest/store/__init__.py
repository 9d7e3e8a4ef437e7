"""The store: a journal of changes, their deltas on disk, and the steps that keep both and the weights in agreement."""
