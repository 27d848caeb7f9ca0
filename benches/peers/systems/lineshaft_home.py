"""Lineshaft with its defaults: every answer after the disk has it, results kept, history archived."""

import sys

import bodies
import servers

from lineshaft import App

TITLE = "Lineshaft"
ACKNOWLEDGED = "on disk"
PACKAGES = []
WORKER = ["lineshaft", "worker", "systems.lineshaft_home", "--processes", "2", "--python", sys.executable]

home = bodies.DIRECTORY / "home"
app = App(str(home))
nothing, stamp, work = (app.task(name=body.__name__)(body) for body in bodies.BODIES)
command = ["lineshaft", "serve", "--home", str(home), "--listen", f"127.0.0.1:{servers.PORT}"]
server = servers.Server(command, "make build")


def enqueue(task, argument):
    return task.enqueue(argument)


def enqueue_many(task, arguments):
    return task.enqueue_many(task.si(argument) for argument in arguments)


def result(handle, seconds):
    return handle.result(timeout=seconds)
