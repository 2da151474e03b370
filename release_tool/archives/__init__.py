"""Look into archives without loading them: zip, ONNX, TorchScript and tokenizer.json, with the standard library only.

A release's own archives and strangers' are read alike: every size is checked before it is believed, nothing is
unpickled and no code of an archive runs.
"""
