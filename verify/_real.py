"""The untouched primitives, saved before anything is patched.

Promises: every name here is the standard library's own object, taken when `verify` is first
imported. The toolkit's own code reaches threads, clocks and sockets only through this leaf, so that
what it replaces for the program under test never changes under its own feet. It imports nothing of
the project.
"""

from __future__ import annotations

import _thread
import queue
import select as _select
import selectors
import socket
import threading
import time

allocate_lock = _thread.allocate_lock
get_ident = _thread.get_ident
start_new_thread = _thread.start_new_thread
RLock = _thread.RLock
Thread = threading.Thread
current_thread = threading.current_thread
main_thread = threading.main_thread
enumerate_threads = threading.enumerate
active_count = threading.active_count
get_native_id = threading.get_native_id
local = threading.local
SimpleQueue = queue.SimpleQueue
select = _select.select
poll = getattr(_select, "poll", None)
epoll = getattr(_select, "epoll", None)
DefaultSelector = selectors.DefaultSelector
Socket = socket.socket
socketpair = socket.socketpair
create_connection = socket.create_connection
create_server = socket.create_server
sleep = time.sleep
wall_time = time.time
monotonic = time.monotonic
perf_counter = time.perf_counter
wall_time_ns = time.time_ns
monotonic_ns = time.monotonic_ns
perf_counter_ns = time.perf_counter_ns
