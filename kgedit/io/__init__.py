"""Files that are written whole or not at all, records and lines from strangers, and the frame of every HTML page."""
