"""A report as one self-contained HTML page: no script, no link to anywhere, readable on paper and in the dark.

`page.report_page` makes it. What is shown comes from hosts, bundles and reports that may be hostile: `markup` is the only
way to HTML, and escapes every text.
"""

from __future__ import annotations
