"""executor=slurm: sessions as jobs of a Slurm cluster."""
