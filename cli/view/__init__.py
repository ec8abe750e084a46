"""How the command shows things: on a terminal, as plain lines when piped, and as JSON."""
