print(“copied from a word processor”)
