"""Does an edit hold, spread, and leave the rest alone: cases, scores and reports."""
