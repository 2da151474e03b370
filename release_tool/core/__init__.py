"""Pure rules: types, names, limits, texts. Standard library only; no file, socket, clock or environment."""
