"""SERAC: a memory of edits with a trained classifier of what is in an edit's scope."""
