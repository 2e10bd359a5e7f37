"""The parts of ../chaos.py: the study that is disturbed, what is done to it, one trial, and a server with faults."""
