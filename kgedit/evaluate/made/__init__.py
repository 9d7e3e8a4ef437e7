"""Benchmarks made from facts that the bundled model knows, in the original formats of MQuAKE and CounterFact."""
