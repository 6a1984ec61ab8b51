"""The networks, one folder each, and the one place that runs them."""
