"""Free protocol: what a model says by itself, to a natural stop, about an edit asked in many forms."""
