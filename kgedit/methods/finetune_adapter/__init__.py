"""The method `finetune-adapter`: a LoRA adapter trained on all edits of a case."""
