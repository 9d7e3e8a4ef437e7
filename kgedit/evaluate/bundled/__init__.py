"""Figures about the bundled model: the demonstration, what it knows, and how many edits it bears."""
