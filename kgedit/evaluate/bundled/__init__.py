"""Figures about the bundled model: the demonstration, its knowledge, and how many edits it keeps."""
