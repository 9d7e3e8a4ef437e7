"""Worker processes that share one piece of work, each with a model of its own; Ray starts them and finds them."""
