"""The only ring that imports torch: loading, exporting, the oracle. Reads the snapshot folder, never the network."""
