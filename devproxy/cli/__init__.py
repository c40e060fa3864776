"""The command line, one file a verb. Only these modules print."""
