"""The field's measures, each defined once: pure functions of scores and answers, and the batches that get them."""
