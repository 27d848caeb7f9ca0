"""What several test modules need to run the product as processes."""
