def count(items):
    number = 0
    for item in items:
	number += 1
    return number
