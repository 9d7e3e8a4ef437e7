"""The method `ke`: a trained network masks the gradient of an edit, given what the edit says."""
