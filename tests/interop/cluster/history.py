"""What a client saw of a cluster, and whether anything acknowledged was lost or reordered: tests/interop/cluster/run.py.

A channel has one publisher, which publishes 1, 2, 3 ..., many of them ahead of their acknowledgements, and none twice. It
has durable subscribers, and at the end all of it is read by a new client.
"""
import copy

IN_ORDER = "one"  # the durable with one message in flight


class History:
    def __init__(self):
        self.acknowledged, self.failed = [], []  # numbers; a failed one may be stored or not
        self.delivered = {}  # durable: [(sequence, number, flagged as redelivered)], each acknowledged by the client
        self.seen = {}  # durable: {sequence}
        self.replayed = []  # as delivered, of a new client without a durable

    def note(self, words):
        """Takes a line that the client printed; False: it is none of an event."""
        kind, *rest = words
        if kind == "acknowledged":
            self.acknowledged.append(int(rest[0]))
        elif kind == "failed":
            self.failed.append(int(rest[0]))
        elif kind == "delivered":
            one = event(rest[1:])
            self.delivered.setdefault(rest[0], []).append(one)
            self.seen.setdefault(rest[0], set()).add(one[0])
        elif kind == "replayed":
            self.replayed.append(event(rest))
        else:
            return False
        return True

    def had(self, durable):
        """How many messages the durable has had; again is not more."""
        return len(self.seen.get(durable, ()))


def event(words):
    sequence, number, again = words
    return int(sequence), int(number), again == "1"


def check(history):
    """What is wrong; empty: nothing."""
    wrong = check_replay(history)
    for durable in history.delivered:
        wrong += [f"durable {durable}: {text}" for text in check_durable(history, durable)]
    return wrong


def check_replay(history):
    wrong = []
    sequences = [sequence for sequence, *_ in history.replayed]
    numbers = [number for _, number, _ in history.replayed]
    if sequences != list(range(1, len(sequences) + 1)):
        wrong.append("the sequences of the replay are not 1, 2, 3 ...")
    if any(again for *_, again in history.replayed):
        wrong.append("the replay has redeliveries")
    if any(a >= b for a, b in zip(numbers, numbers[1:])):
        wrong.append("publishes are stored twice, or in another order than they were published")
    wrong += few("acknowledged publishes are lost", set(history.acknowledged) - set(numbers))
    wrong += few("stored messages were never published",
                 set(numbers) - set(history.acknowledged) - set(history.failed))
    return wrong


def check_durable(history, durable):
    stored = {sequence: number for sequence, number, _ in history.replayed}
    events = history.delivered[durable]
    wrong = few("deliveries are not what is stored",
                {sequence for sequence, number, _ in events if stored.get(sequence) != number})
    wrong += few("stored messages never came", set(stored) - {sequence for sequence, *_ in events})
    # With several in flight, one that was lost with its connection comes again behind others, and says so.
    new = [sequence for sequence, again in firsts(events) if durable == IN_ORDER or not again]
    if new != sorted(new):
        wrong.append("messages came for the first time in another order than they are stored")
    return wrong


def firsts(events):
    """The first delivery of each sequence."""
    seen = {}
    for sequence, _, again in events:
        seen.setdefault(sequence, again)
    return seen.items()


def few(text, which):
    return [f"{len(which)} {text}: {sorted(which)[:10]}"] if which else []


# ---- the checker's own test: a history with one thing changed must not pass ----

def lose_a_stored_message(history):
    sequence = next(s for s, number, _ in history.replayed if number == middle(history.acknowledged))
    history.replayed = [(s - (s > sequence), n, a) for s, n, a in history.replayed if s != sequence]
    for durable, events in history.delivered.items():
        history.delivered[durable] = [(s - (s > sequence), n, a) for s, n, a in events if s != sequence]


def leave_a_gap(history):
    history.replayed.remove(middle(history.replayed))


def store_twice(history):
    history.replayed.append((len(history.replayed) + 1, history.replayed[-1][1], False))


def swap_what_is_stored(history):
    at = len(history.replayed) // 2
    (s, n, a), (t, m, b) = history.replayed[at:at + 2]
    history.replayed[at:at + 2] = [(s, m, a), (t, n, b)]


def replay_twice(history):
    history.replayed.insert(0, history.replayed[0])


def flag_in_the_replay(history):
    history.replayed[-1] = (*history.replayed[-1][:2], True)


def invent_a_message(history):
    number = 1 + max(history.acknowledged + history.failed)
    history.replayed.append((len(history.replayed) + 1, number, False))


def miss_a_delivery(history):
    for durable, events in history.delivered.items():
        sequence = middle(events)[0]
        history.delivered[durable] = [e for e in events if e[0] != sequence]
        return


def deliver_another(history):
    events = next(iter(history.delivered.values()))
    events[0] = (events[0][0], events[0][1] + 1, events[0][2])


def deliver_late(durable):
    """A message comes for the first time behind the last one."""
    def change(history):
        events = history.delivered[durable]
        late = next(e for e in events if not e[2])
        history.delivered[durable] = [e for e in events if e[0] != late[0]] + [late]
    change.__name__ = f"deliver_late_to_{durable}"
    return change


def middle(some):
    return some[len(some) // 2]


SABOTAGE = [lose_a_stored_message, leave_a_gap, store_twice, swap_what_is_stored, replay_twice, flag_in_the_replay,
            invent_a_message, miss_a_delivery, deliver_another, deliver_late("one"), deliver_late("many")]


def unnoticed(history):
    """The names of the changes that pass."""
    names = []
    for change in SABOTAGE:
        spoiled = copy.deepcopy(history)
        change(spoiled)
        if not check(spoiled):
            names.append(change.__name__)
    return names
