"""What the searches share: supernets, evolution, trainings from scratch, tables of published benchmarks."""
