"""Runs of an evaluation from file to report: every case edited, scored and reverted."""
