"""From measurements to decisions: Pareto fronts, the recommendation, checks and gates. Pure."""
