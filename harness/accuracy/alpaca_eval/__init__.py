"""AlpacaEval: answers to open instructions, compared by a judge."""
