"""From a feed of fact changes to a model that can be trusted, undone and shipped."""
