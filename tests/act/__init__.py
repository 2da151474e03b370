"""Run the workflows of this repository with act, on this machine and against servers on loopback."""
