"""Attribution against retraining: facts are planted in the bundled model, and each group of sentences is left out."""
