"""Plans: every record of a feed in one class, with the reason, before anything is changed."""
