"""Text generation in batches: greedy and sampled, each text up to its own end."""
