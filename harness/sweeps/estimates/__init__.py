"""How long a plan takes: its phases, rules of thumb for each, and what earlier phases of this machine took."""
