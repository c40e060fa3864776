"""Sessions of pytest with the plugin: real ones, in processes of their own, on recorded hosts."""
