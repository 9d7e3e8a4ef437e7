"""Whether an edit can be asked from its object's side, in BAKE's layout (Ma et al., 2023, arXiv 2310.10322)."""
