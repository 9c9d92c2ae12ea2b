"""A client that opens much and is then killed: `doomed.py BUNDLE PLAN`, where PLAN is JSON:
{"sql": [[SQL, OPTIONS], ...] sent and left in flight, "sessions": N, "inside": [SQL, ...] run in
each, "cursors": [SQL, ...]}.  Prints one JSON line when all is open, and waits for its end."""
import json
import sys
import time

from caller import Caller


def main():
    bundle, plan = sys.argv[1], json.loads(sys.argv[2])
    with Caller(bundle) as caller:
        opened = open_all(caller, plan)
        print(json.dumps(opened), flush=True)
        time.sleep(120)


def open_all(caller, plan):
    """Opens what a plan says; the ids of it, in hex."""
    begun = [caller.post(op="begin") for _ in range(plan.get("sessions", 0))]
    sessions = [caller.take(asked) for asked in begun]
    assert all(reply["ok"] for reply in sessions), sessions
    asked = [caller.post(sql.replace("{}", str(number)), session=reply["session"])
             for number, reply in enumerate(sessions) for sql in plan.get("inside", [])]
    replies = [caller.take(one) for one in asked]
    assert all(reply["ok"] for reply in replies), replies
    cursors = [caller.run(sql, page_rows=5) for sql in plan.get("cursors", [])]
    for sql, options in plan.get("sql", []):
        caller.post(sql, **options)
    return {"sessions": [reply["session"].hex() for reply in sessions],
            "cursors": [reply["cursor"].hex() for reply in cursors]}


if __name__ == "__main__":
    main()
