"""Reports of a run: estimates with intervals, comparisons, and the files that show them."""
