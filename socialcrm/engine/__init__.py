"""The line: each step is one module, named by a verb."""
