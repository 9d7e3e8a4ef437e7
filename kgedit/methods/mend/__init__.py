"""The method `mend`: a trained network turns the gradient of an edit into a change of the weights."""
