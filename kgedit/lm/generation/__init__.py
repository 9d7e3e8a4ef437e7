"""Generated text: greedy and sampled, in batches, each text up to its own end."""
