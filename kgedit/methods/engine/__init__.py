"""What the editing methods share: objective, optimisation of the value m*, and the closed-form write."""
