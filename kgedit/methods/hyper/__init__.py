"""Hypernetwork editors: a network, trained once for each model, turns the gradient of an edit into its change."""
