"""The report of a store, as an HTML page or as JSON."""
