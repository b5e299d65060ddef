# Nothing here is for Python: other compiled modules use index.pxd.
