"""The first program. Run it: python app.py."""

from lineshaft import App

app = App()


@app.task
def add(a: int, b: int) -> int:
    """Runs in a worker process."""
    return a + b


if __name__ == "__main__":
    job = add.enqueue(2, 3)  # durable when this returns
    print(job.result())  # 5
