"""Facts that a model should know (Meng et al., 2022); nothing is edited."""
