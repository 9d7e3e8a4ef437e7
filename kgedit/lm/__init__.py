"""Everything that touches the inside of a language model: loading, tokens, hooks, scores, generation, statistics."""
