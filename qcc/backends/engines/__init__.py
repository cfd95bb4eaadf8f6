"""Programs of others that run models, each in a process of its own: what they crash is not qcc."""
