"""What the README and the tests show: a bundle, a recorded host, a file system type of one's own."""
