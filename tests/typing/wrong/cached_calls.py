"""What is wrong with a cached call is said where it is."""

from lineshaft import cached


@cached(ttl="10m")
def f(x: int) -> str:
    return str(x)


f("a")  # error: mypy[arg-type] pyright[reportArgumentType]
f.cache.peek("a")  # error: mypy[arg-type] pyright[reportArgumentType]
f.cache.key("a")  # error: mypy[arg-type] pyright[reportArgumentType]
cached(depends_on=["key"])  # error: mypy[list-item] pyright[reportArgumentType]
f.cache.warm()  # error: mypy[call-arg] pyright[reportCallIssue]
