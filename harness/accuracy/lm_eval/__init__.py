"""MMLU, GSM8K and every other task of lm-eval."""
