"""Where a model keeps its facts: causal tracing over facts that it recalls, or of one prompt given by hand."""
