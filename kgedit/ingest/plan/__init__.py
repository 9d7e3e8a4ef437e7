"""From a feed to a plan: every record in one class, with its reason."""
