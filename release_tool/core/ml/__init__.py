"""What is asked of ML Commons and what it answers, as values: no socket, no file, no clock."""
