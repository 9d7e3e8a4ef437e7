"""The knowledge graph as an edit sees it: the subgraph around it, walks that reach it, and relations as text."""
