"""The trace from row to test: what each behaviour of the seed is, which tests cover it, and who told them what is right.

A test says `@pytest.mark.rows("S61", "H22", oracle="runsc")`; `scripts/rows` lists the rows with their tests.
"""
