"""Roles from the policy down to the database: whose accounts a statement runs under, how many rows
it may return, and what becomes of a session whose principal gets another role."""
import pathlib
import time

import pytest
import zmq

from caller import Caller
from harness import Cluster, wait_until

POLICY = """policy
    version = "1"
roles
    app
        seal = "optional"
    shop
        accounts = "shop"
        seal = "optional"
        rows_max = "10"
    lost
        accounts = "nowhere"
        seal = "optional"
principals
    local = "app {local}"
"""


class Roles:
    """A cluster with a second pair of accounts, and a principal of each role."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.policy = pathlib.Path(cluster.info["policy"])
        local = next(line.split("=", 1)[1].split()[1].rstrip('"')
                     for line in self.policy.read_text().splitlines()
                     if line.strip().startswith("local ="))
        self.settled(lambda: self.policy.write_text(POLICY.format(local=local)))
        self.keys = {}
        for role in ("app", "shop", "lost"):
            public, secret = (key.decode() for key in zmq.curve_keypair())
            self.keys[role] = public, secret
            self.give(role, role)

    def settled(self, change):
        before = self.cluster.log("broker").count("event=policy_loaded")
        change()
        wait_until(lambda: self.cluster.log("broker").count("event=policy_loaded") > before, 5,
                   "the policy is loaded")

    def give(self, principal, role):
        """Gives the principal a role."""
        self.settled(lambda: self.cluster.admit(f"of-{principal}", self.keys[principal][0],
                                                role=role))

    def caller(self, principal):
        for _ in range(20):
            one = Caller(self.cluster.bundle, keys=self.keys[principal])
            asked = one.post(op="ping", timeout_ms=1000)
            one.pump(1.0)
            if asked.tag in one.replies:
                one.take(asked)
                return one
            one.close()
            time.sleep(0.1)
        raise AssertionError("the gatekeeper does not let the key in")


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accounts")
    for kind in ("read", "write"):
        (folder / kind).write_text(f"shop-{kind}-secret\n")
        (folder / kind).chmod(0o600)
    (folder / "accounts.cfg").write_text(
        "accounts\n    shop\n        read_user = shop_read\n        read_password_file = read\n"
        "        write_user = shop_write\n        write_password_file = write\n"
        "        schemas = shop\n")
    sets = ["agent:pool/threads=4", f"agent:accounts/file={folder}/accounts.cfg"]
    with Cluster.running("roles", nodes=1, sets=sets) as one:
        one.sql("node1", "CREATE DATABASE IF NOT EXISTS shop; "
                         "CREATE TABLE IF NOT EXISTS shop.own (n INT PRIMARY KEY); "
                         "REPLACE INTO shop.own VALUES " +
                         ", ".join(f"({number})" for number in range(1, 31)))
        yield Roles(one)


def code(answer):
    assert not answer["ok"], answer
    return answer["error"]["code"], answer["error"]["retry"]


def test_a_roles_statements_run_under_its_accounts(roles):
    user = "SELECT CURRENT_USER()"
    app, shop = roles.caller("app"), roles.caller("shop")
    for _ in range(5):
        assert app.run(user)["rows"] == [["portcullis_read@localhost"]]
        assert shop.run(user)["rows"] == [["shop_read@localhost"]]
    session = shop.run(op="begin")["session"]
    assert shop.run(user, session=session)["rows"] == [["shop_write@localhost"]]
    shop.run(op="rollback", session=session)
    assert code(app.call("SELECT n FROM shop.own LIMIT 1")) == ("SQL", "never")
    assert code(shop.call("SELECT * FROM demo.accounts LIMIT 1")) == ("SQL", "never")
    assert shop.run("SELECT DATABASE()")["rows"] == [["shop"]]


def test_a_role_gets_no_more_rows_than_it_may(roles):
    shop = roles.caller("shop")
    assert len(shop.run("SELECT n FROM own LIMIT 10")["rows"]) == 10
    refused = shop.call("SELECT n FROM own LIMIT 11")
    assert code(refused) == ("TOO_LARGE", "never"), refused
    assert refused["error"]["message"] == "rows: more than 10, which is the role's limit"
    first = shop.run("SELECT n FROM own", page_rows=6)
    assert len(first["rows"]) == 6
    second = shop.call(op="fetch", cursor=first["cursor"], page_rows=6)
    assert code(second) == ("TOO_LARGE", "never")


def test_accounts_that_no_agent_has_are_forbidden(roles):
    lost = roles.caller("lost")
    for sql in ("SELECT 1", "DELETE FROM shop.own"):
        refused = lost.call(sql)
        assert code(refused) == ("FORBIDDEN", "never"), refused
        assert refused["error"]["hop"] == "agent"


def test_a_session_does_not_outlive_its_principals_accounts(roles):
    shop = roles.caller("shop")
    session = shop.run(op="begin")["session"]
    assert shop.run("DELETE FROM own WHERE n = 1", session=session)["affected"] == 1
    roles.give("shop", "app")
    try:
        assert code(shop.call("SELECT 1", session=session))[0] in ("FORBIDDEN", "GONE")
        assert code(shop.call(op="commit", session=session))[0] in ("FORBIDDEN", "GONE")
        assert shop.run("SELECT CURRENT_USER()")["rows"] == [["portcullis_read@localhost"]]
    finally:
        roles.give("shop", "shop")
    assert roles.caller("shop").run("SELECT COUNT(*) FROM own")["rows"] == [[30]]
