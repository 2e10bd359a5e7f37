"""Text for prompts: corpora, text of hub datasets."""
