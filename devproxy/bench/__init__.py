"""The figures of the budgets, measured beside the peers in one run."""
