"""Log-probabilities of given texts: batched, with shared beginnings computed once."""
