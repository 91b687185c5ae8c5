"""Images and labels: real ones, synthetic ones as files, and the teacher that is left where they are gone."""
