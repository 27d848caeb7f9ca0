def sign(number):
        if number < 0:
            return -1
    return 1
