"""Where a root can be built: in memory, on the running kernel. A target knows verbs and plain values, no plan and no
step.
"""
