"""Run one command in a process group that cannot outlive whoever started it.

Started by path, standard library only: ``guard.py CONTROL STATUS -- argv...`` with two inherited file descriptors.
The guard leads a new session and stays its leader. When the read end CONTROL reaches its end (the starter closed its
side, or died in any way), the whole group is killed with SIGKILL, the guard included. When the command ends, its exit
code is written to STATUS as one line (128 + n for signal n) and the guard waits for CONTROL to end, so that the group's
number cannot be taken by a stranger before what the command left behind has been killed.

On Linux the command is also killed when the guard dies (PR_SET_PDEATHSIG, prctl(2)).
"""

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when ``parent``, its parent, dies; exit at once when that has happened."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def become(command: list[str], parent: int) -> None:
    """Replace this process by the command, with the signals Python ignores set back; 127 when it cannot be run."""
    try:
        die_with(parent)
        for name in ("SIGPIPE", "SIGXFSZ"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def kill_group_at_end_of(control: int) -> None:
    """Wait for the end of ``control``, then kill the group."""
    while os.read(control, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    control, status = int(arguments[0]), int(arguments[1])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    if os.getpgrp() != os.getpid():
        os.setsid()
    me = os.getpid()
    command = os.fork()
    if command == 0:
        become(arguments[3:], me)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watcher = threading.Thread(target=kill_group_at_end_of, args=(control,))
    watcher.start()
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    os.write(status, f"{code if code >= 0 else 128 - code}\n".encode())
    watcher.join()


if __name__ == "__main__":
    main(sys.argv[1:])
