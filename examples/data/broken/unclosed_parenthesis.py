def total(prices):
    return sum(price * 1.2 for price in prices


print(total([1, 2, 3]))
