message = "it began well
print(message)
