"""What needs real hardware; run by name: `pytest hwtests`. A missing device is a skip that says so."""
