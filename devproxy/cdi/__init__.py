"""The Container Device Interface: specs that say what a container is given with a device, and how engines find them."""

from __future__ import annotations
