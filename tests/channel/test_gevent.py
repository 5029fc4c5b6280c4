"""Under gevent's monkey patching a channel's threads are greenlets, and waiting lets the others run."""

import subprocess
import sys

import pytest

STORM = """
from gevent import monkey
monkey.patch_all()

import gevent.queue
import random
import threading
from dispatch.channel import Channel
from dispatch.errors import EndOfChannel, WouldWait

seed = random.randrange(10**9)
chance = random.Random(seed)
for capacity in (0, 0, 1, 2, 16):
    channel = Channel(capacity)
    assert isinstance(channel._items, gevent.queue.SimpleQueue), type(channel._items)
    received = []

    def send(sender):
        for number in range(100):
            while True:
                try:
                    if chance.random() < 0.5:
                        channel.send((sender, number))
                    elif chance.random() < 0.5:
                        channel.send((sender, number), 0.001)
                    else:
                        channel.send_nowait((sender, number))
                except TimeoutError:
                    continue
                except WouldWait:
                    gevent.sleep(0)
                    continue
                break

    def receive():
        while True:
            try:
                if chance.random() < 0.5:
                    received.append(channel.receive())
                elif chance.random() < 0.5:
                    received.append(channel.receive(0.001))
                else:
                    received.append(channel.receive_nowait())
            except TimeoutError:
                continue
            except WouldWait:
                gevent.sleep(0)
            except EndOfChannel:
                return

    receivers = [threading.Thread(target=receive) for _ in range(3)]
    senders = [threading.Thread(target=send, args=[sender]) for sender in range(4)]
    for thread in receivers + senders:
        thread.start()
    for thread in senders:
        thread.join(20)
    channel.close()
    for thread in receivers:
        thread.join(20)
    alive = [thread for thread in receivers + senders if thread.is_alive()]
    assert not alive, (seed, capacity, alive)
    assert sorted(received) == [(s, n) for s in range(4) for n in range(100)], (seed, capacity)
    assert channel._permits.qsize() == capacity + 1, (seed, capacity)
print("nothing lost")
"""

MEETING = """
from gevent import monkey
monkey.patch_all()

import gevent
from dispatch.channel import Channel
from dispatch.errors import WouldWait

channel = Channel()
sender = gevent.spawn(channel.send, "item")
gevent.sleep(0)
assert channel.receive_nowait() == "item"
sender.get(timeout=5)

receiver = gevent.spawn(channel.receive)
gevent.sleep(0)
channel.send_nowait("back")
assert receiver.get(timeout=5) == "back"

killed = gevent.spawn(channel.receive)
gevent.sleep(0)
killed.kill()
try:
    channel.send_nowait("nobody there")
except WouldWait:
    print("a killed greenlet no longer waits")
"""


SELECT = """
from gevent import monkey
monkey.patch_all()

import threading
from dispatch.channel import Channel, after, receive, select, send

first, second, third = Channel(), Channel(1), Channel()

def produce():
    for number in range(100):
        select(send(first, number), send(second, number), send(third, number))
    first.close()

thread = threading.Thread(target=produce)
thread.start()
received = []
while True:
    chosen = select(receive(first), receive(second), receive(third), timeout=10)
    if chosen.closed:
        break
    received.append(chosen.item)
thread.join(5)
while len(second):
    received.append(second.receive())
assert sorted(received) == list(range(100)), received
assert select(receive(third), receive(after(0.01)), timeout=10).index == 1
try:
    select(receive(third), timeout=0.01)
except TimeoutError:
    print("the first of several")
"""


@pytest.mark.parametrize(
    ("program", "last_words"),
    [(STORM, "nothing lost"), (MEETING, "a killed greenlet no longer waits"), (SELECT, "the first of several")],
    ids=["storm", "meeting", "select"],
)
def test_it_works_under_gevents_monkey_patching(program, last_words):
    """Greenlets send, receive, time out and close as threads do; the program ends by itself."""
    pytest.importorskip("gevent")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, ran.stdout.strip()) == (0, last_words), ran.stderr
