"""What differs between two recordings, two plans or two reports: `devproxy diff`."""

from __future__ import annotations
