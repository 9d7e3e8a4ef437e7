"""What a run found, for people and programs: estimates with intervals, comparisons, and the files that show them."""
