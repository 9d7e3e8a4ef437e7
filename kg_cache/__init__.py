"""The local knowledge graph: Wikidata facts in a SQLite file, filled from the snapshot or an endpoint.

Reading order: `graph` (what a knowledge graph is), `store` (facts on disk), `bundled` (the snapshot as a
store), `queries` and `sparql` (talking to an endpoint), `claims` (what its answers mean), `wikidata` (store
first, endpoint for what is missing), `importing` (files into a store; `dump` reads them). Nothing here knows of
language models.
"""
