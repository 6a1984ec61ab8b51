"""How the printed grid is found: its contrast, its comb of frequencies, and the lock onto its lines."""
