"""Passwords and keys of an agent change while it runs: no restart, and nobody is turned away."""
import os
import subprocess
import time

import pytest

import aws_server
from agent_alone import READ, UP, WRITE, Pair
from harness import FLAVOR, wait_until

NEW = "another-'test's \\ \"password\""


def write(folder, name, text):
    """Takes the file's place at once, as the secret's files do."""
    fresh = folder / f".{name}.new"
    fresh.write_text(text)
    fresh.chmod(0o400)
    os.replace(fresh, folder / name)


def logs_in(database, user, password):
    command = ["mariadb" if FLAVOR == "mariadb" else "mysql", "--no-defaults", f"-u{user}",
               f"-S{database.socket}", "-NBe", "SELECT 1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "MYSQL_PWD": password})
    return done.stdout == "1\n"


@pytest.fixture
def pair():
    one = Pair(threads=4, replica=True, idle_ms=100)  # so that logins go on all the time
    one.proxy.run(WRITE, "CREATE TABLE demo.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT)")
    yield one
    one.close()


def replicated(pair):
    count = pair.source_database.sql("SELECT COUNT(*) FROM demo.t")
    return pair.replica_database.sql("SELECT COUNT(*) FROM demo.t", check=False) == count


def test_accounts_get_their_new_passwords_under_load(pair):
    """Reads and writes go on, each on a fresh login, while both passwords change three times."""
    done, failures = 0, []
    for turn in range(3):
        for account in ("read", "write"):
            write(pair.source.folder, f"{account}.password", f"{NEW}{turn}\n")
        changed, deadline = 0, time.monotonic() + 60
        while changed < 20:
            assert time.monotonic() < deadline, "the accounts have not got their new passwords"
            for sql_class, sql in ((READ, "SELECT 1"), (WRITE, "INSERT INTO demo.t VALUES ()")):
                answer = pair.proxy.ask(sql_class, sql)
                done += 1
                failures += [] if answer["ok"] else [answer["error"]]
            if logs_in(pair.source_database, "portcullis_write", f"{NEW}{turn}"):
                changed += 1
        assert logs_in(pair.source_database, "portcullis_read", f"{NEW}{turn}")
    assert failures == []
    assert not logs_in(pair.source_database, "portcullis_read", f"{NEW}1")
    assert pair.source.log().count("event=passwords_changed") >= 3
    assert NEW not in pair.source.log()
    assert pair.source.process.poll() is None


def test_replication_goes_on_once_its_password_has_changed(pair):
    """The source first; what runs is left alone, and what is refused logs in with the new one."""
    pair.proxy.run(WRITE, "INSERT INTO demo.t (b) VALUES (1)")
    wait_until(lambda: replicated(pair), 30, "the replica follows")
    write(pair.source.folder, "replication.password", NEW + "\n")
    wait_until(lambda: logs_in(pair.source_database, "portcullis_repl", NEW), 30,
               "the source has the new password")
    assert replicated(pair)
    pair.replica_database.stop_receiving()
    pair.replica_database.start_receiving()  # and is refused, since it has the old one
    wait_until(lambda: "1045" in status(pair.replica_database), 30, "the source refuses it")
    pair.proxy.send(WRITE, "INSERT INTO demo.t (b) VALUES (2)", budget_ms=60000)
    write(pair.replica.folder, "replication.password", NEW + "\n")
    wait_until(lambda: pair.replica_database.sql("SELECT MAX(b) FROM demo.t") == "2", 60,
               "the replica follows again")
    wait_until(lambda: replicated(pair), 30, "and has all")
    assert "event=replication_password" in pair.replica.log()


def status(database):
    return database.sql("SHOW SLAVE STATUS" if FLAVOR == "mariadb" else "SHOW REPLICA STATUS",
                        check=False)


def test_the_agents_own_account_changes_too(pair):
    database, agent = pair.source_database, pair.source
    database.sql("SET SESSION sql_log_bin=0; CREATE USER keeper@localhost IDENTIFIED BY 'first';"
                 " GRANT ALL ON *.* TO keeper@localhost WITH GRANT OPTION")
    write(agent.folder, "admin.password", "first\n")
    assert agent.stop() == 0
    agent.config.write_text(agent.config.read_text() + "database\n    admin_user = keeper\n"
                            "    admin_password_file = admin.password\n")
    agent.start()
    write(agent.folder, "admin.password", "second\n")
    wait_until(lambda: logs_in(database, "keeper", "second"), 30, "the server has the new one")
    assert not logs_in(database, "keeper", "first")
    assert agent.stop() == 0
    agent.start()
    assert pair.proxy.run(READ, "SELECT 1")["rows"] == [[1]]


def test_a_password_that_changed_while_the_agent_was_down_is_made_good(pair):
    """A second line of the file is the password before."""
    database, agent = pair.source_database, pair.source
    database.sql("SET SESSION sql_log_bin=0; CREATE USER keeper@localhost IDENTIFIED BY 'first';"
                 " GRANT ALL ON *.* TO keeper@localhost WITH GRANT OPTION")
    assert agent.stop() == 0
    write(agent.folder, "admin.password", "second\nfirst\n")
    agent.config.write_text(agent.config.read_text() + "database\n    admin_user = keeper\n"
                            "    admin_password_file = admin.password\n")
    agent.start()
    assert logs_in(database, "keeper", "second") and not logs_in(database, "keeper", "first")


def test_an_own_password_that_the_server_refuses_costs_no_node(pair):
    """It has rules for passwords, and the accounts of the roles get theirs all the same."""
    if FLAVOR != "mariadb":
        pytest.skip("the rules of validate_password are not in every installation of MySQL")
    database, agent = pair.source_database, pair.source
    database.sql("INSTALL SONAME 'simple_password_check';"
                 " SET GLOBAL simple_password_check_digits=0,"
                 " GLOBAL simple_password_check_letters_same_case=0,"
                 " GLOBAL simple_password_check_other_characters=0; SET SESSION sql_log_bin=0;"
                 " CREATE USER keeper@localhost IDENTIFIED BY 'the-first';"
                 " GRANT ALL ON *.* TO keeper@localhost WITH GRANT OPTION")
    write(agent.folder, "admin.password", "the-first\n")
    assert agent.stop() == 0
    agent.config.write_text(agent.config.read_text() + "database\n    admin_user = keeper\n"
                            "    admin_password_file = admin.password\n")
    agent.start()
    write(agent.folder, "admin.password", "short\n")
    write(agent.folder, "read.password", NEW + "\n")
    wait_until(lambda: logs_in(database, "portcullis_read", NEW), 30, "its account has it")
    wait_until(lambda: "event=password_refused account=admin" in agent.log(), 30,
               "it is said")
    for session in database.sql("SELECT id FROM information_schema.processlist "
                                "WHERE user='keeper'").split():
        database.sql(f"KILL {session}", check=False)  # and in again, with the one before
    assert pair.proxy.run(READ, "SELECT 1")["rows"] == [[1]]
    write(agent.folder, "admin.password", "the-second\n")
    wait_until(lambda: logs_in(database, "keeper", "the-second"), 30, "the server has the new one")
    pair.proxy.wait_for(lambda report: report.state == UP, 30, "the node is up")


def test_a_file_that_is_not_whole_changes_nothing(pair):
    for text in ("", "x" * 300 + "\n", "\n"):
        write(pair.source.folder, "read.password", text)
        seen = pair.source.log().count("event=reload-refused")
        wait_until(lambda: pair.source.log().count("event=reload-refused") > seen, 15, "it is said")
        assert pair.proxy.run(READ, "SELECT 1")["rows"] == [[1]]
    write(pair.source.folder, "read.password", NEW + "\n")
    wait_until(lambda: logs_in(pair.source_database, "portcullis_read", NEW), 30, "the new one")


def test_a_rotated_secret_reaches_the_database(tmp_path):
    """All the way: Secrets Manager, the file, the agent, the account."""
    files = tmp_path / "secret"
    files.mkdir()
    with aws_server.serving() as aws:
        first = {f"{name}.password": "first\n" for name in ("read", "write", "replication")}
        aws.rotate("v1", **first)
        for name, text in first.items():
            write(files, name, text)
        sections = {"aws": {"metadata_endpoint": f'"{aws.url}"', "refresh_ms": 1000,
                            "secrets_endpoint": f'"{aws.url}"', "secret_directory": f'"{files}"',
                            "secret_id": f'"{aws_server.SECRET_ID}"'}}
        one = Pair(threads=2, sections=sections, secrets=files)
        try:
            assert logs_in(one.source_database, "portcullis_read", "first")
            aws.rotate("v2", **{**first, "read.password": "second\n"})
            wait_until(lambda: logs_in(one.source_database, "portcullis_read", "second"), 30,
                       "the account has the new password")
            assert not logs_in(one.source_database, "portcullis_read", "first")
            assert one.proxy.run(READ, "SELECT 1")["rows"] == [[1]]
            aws.dead.set()
            assert one.proxy.run(READ, "SELECT 1")["rows"] == [[1]]
        finally:
            one.close()
