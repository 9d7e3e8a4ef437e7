"""The inside of a transformer: anatomy, tokens, hooks, statistics, representations, scores."""
