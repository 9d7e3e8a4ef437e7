"""Edits as GGUF files, for llama.cpp and Ollama: an adapter for the unedited model, or the whole edited model."""
