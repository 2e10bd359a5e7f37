"""What a variant gains: latency, throughput, capacity, energy, cost, kernels. Pure."""
