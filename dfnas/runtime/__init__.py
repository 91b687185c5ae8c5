"""How work is done, whatever the work is: stages, files, devices, processes, seeds, statistics."""
