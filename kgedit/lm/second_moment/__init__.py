"""The second moment C = E[k k^T] of a layer's keys: solving with it, collecting it from text, its files."""
