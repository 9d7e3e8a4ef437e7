"""The store: the journal of all changes, their deltas, and durable commits."""
