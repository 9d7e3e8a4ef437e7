"""The method `locft`: localised breadth-first fine-tuning of one matrix."""
