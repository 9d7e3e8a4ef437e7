"""Text rules that need no model: templates, the boundary between a prompt and its target, and whole names."""
