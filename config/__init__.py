"""Settings and the files an admin edits."""
