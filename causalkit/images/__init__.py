"""Effects by image: clusters, embeddings, forests and maps for randomised trials with images."""
