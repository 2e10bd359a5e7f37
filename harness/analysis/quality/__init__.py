"""What a variant loses: scores, judge's win rates, agreement and distance of outputs. Pure."""
