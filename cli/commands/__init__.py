"""One module a command: `add_parser` declares its arguments, `execute` does it and returns the exit code."""
