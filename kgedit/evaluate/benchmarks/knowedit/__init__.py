"""KnowEdit (Zhang et al., 2024)."""
