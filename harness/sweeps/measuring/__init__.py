"""A session on this machine: its server, and its cells one by one."""
