"""Files of facts, read as streams: N-Triples, Turtle, the JSON dump, tables of ids; one module for each form."""
