"""This machine: host facts, GPU data sheets, disk space, temporary folders, signals."""
