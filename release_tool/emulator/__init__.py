"""What ML Commons' Java does around a model, done again in a process of its own.

The program ``serve.py`` runs by file path in an environment that holds the server's own onnxruntime and tokenizers and
not this package, so these files import only the standard library, numpy, tokenizers, onnxruntime or torch, and each
other. It opens nothing but the archive and the register request's ``config.json``.
"""
