"""The steps of a plan, carried out on a target: this is where the two meet, and where the outcomes come from."""
