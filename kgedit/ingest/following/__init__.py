"""A store that follows a source of changes: what comes, how far it came, what is published, and metrics."""
