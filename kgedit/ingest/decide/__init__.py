"""Decisions: a batch is computed and applied in memory, checked by guards, and each change accepted or refused."""
