"""RippleEdits (Cohen et al., 2024): what else must change with an edit, and what must not."""
