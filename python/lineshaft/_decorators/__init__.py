"""What is put around functions: `decorator` to write it oneself, and those that are there."""
