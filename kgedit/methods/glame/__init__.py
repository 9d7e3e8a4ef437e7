"""GLAME (Zhang et al., EMNLP 2024): ROME's write with a value m* shaped by a knowledge graph."""
