"""What becomes of each change of a batch: written on trial, checked by guards, accepted or refused."""
