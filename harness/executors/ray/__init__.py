"""executor=ray: sessions on the nodes of a Ray cluster."""
