"""tests/integration/skipped.py - what a suite leaves out on this machine, and why: on its own output, and in the list that
.ci/run ends with, so that a green run does not hide it. SKIPPED_LOG names the list; without it there is none."""
import os


def note(what, reason, count=1):
    """`count` cases of `what` do not run, for that reason."""
    reason = " ".join(str(reason).split())
    print(f"{what}: skipped: {reason} ({count} skipped)", flush=True)
    path = os.environ.get("SKIPPED_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{count} {what}: {reason}\n")
