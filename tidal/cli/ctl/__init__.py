"""`tidalctl`: commands for who runs a store. They read its files, and never write to them."""
