def transfer(source, target, amount):
    if source.balance < amount:
