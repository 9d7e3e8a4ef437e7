"""Where changes come from: one file per kind of feed, one line per kind in `base.FEEDS`."""
