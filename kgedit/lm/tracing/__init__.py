"""Causal tracing: which states of a model carry a fact (ROME, Meng et al., 2022, section 2)."""
