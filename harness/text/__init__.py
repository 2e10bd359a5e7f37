"""Text for prompts: tokenizers, corpora, text of hub datasets."""
