"""The second moment C = E[k k^T] of a layer's keys: the matrix, its collection from text, and where it is found."""
