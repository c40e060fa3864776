"""devpts: pseudo-terminals, one instance a mount (pts(4); Documentation/filesystems/devpts.rst; drivers/tty/pty.c).

Opening `ptmx` makes a pair: what is opened is the master, and the slave appears under the lowest free number, locked. Bytes go
through a line discipline (`line`): canonical and raw input with echo, erasing and killing, and what ICRNL, INLCR, IGNCR, OPOST,
ONLCR and OCRNL ask for. Nothing here waits: where Linux would, the answer is EAGAIN.

Not there: signals and sessions (the characters of ISIG are taken out of the input and signal nobody), flow control, VMIN and
VTIME, packet mode, literal input (VLNEXT), word erase and reprint, tab expansion.
"""

from vfs.fs.devpts.filesystem import DevptsType as DevptsType
