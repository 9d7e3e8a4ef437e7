"""The workbench: a page in the browser to try edits, review a journal, compare runs and see where facts are stored.

One file a tab; each handler makes one call of the interface in Python and shows what came back. gradio is imported
inside the functions that build the page, since it is the extra `workbench`.
"""
