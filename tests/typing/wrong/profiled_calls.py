"""What is wrong with a profiled call, or with an option, is said where it is."""

from lineshaft import profile


@profile
def work(x: int) -> str:
    return str(x)


work("a")  # error: mypy[arg-type] pyright[reportArgumentType]
work()  # error: mypy[call-arg] pyright[reportCallIssue]
profile(threads="some")  # error: mypy[call-overload] pyright[reportArgumentType]
profile(hz="fast")  # error: mypy[call-overload] pyright[reportArgumentType]
