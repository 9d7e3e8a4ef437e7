"""One evaluation from file to rows: every case edited, scored and reverted."""
