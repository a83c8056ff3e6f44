"""Speed and scale measurements; each prints a table. Never part of the tests, but they use the tests' local servers."""
