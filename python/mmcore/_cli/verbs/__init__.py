"""The verbs of the command line: each has a file with a function, or an `App`, of its name."""
