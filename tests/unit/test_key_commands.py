#!/usr/bin/env python3
"""portcullis bundle and portcullis principal on files; no cluster is asked.
usage: test_key_commands.py COMMAND"""
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

COMMAND = str(pathlib.Path(sys.argv.pop(1)).resolve())
ALICE = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
BOB = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
POLICY = f"""# who may do what
policy
    version = "1"
roles
    app     # the applications
        classes = "read write"
principals
    # NAME = "ROLE KEY"
    alice = "app {ALICE}"   # since spring
    # that is all
"""
CLIENTS = f"# NAME KEY\nalice  {ALICE}\n"


class KeysTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.policy, self.clients = self.folder / "policy.cfg", self.folder / "clients.keys"
        self.policy.write_text(POLICY)
        self.clients.write_text(CLIENTS)

    def run_it(self, *words, code=0, **more):
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        environment.update(more)
        done = subprocess.run([COMMAND, *words], cwd=self.folder, env=environment, text=True,
                              capture_output=True, timeout=30)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def principal(self, *words, code=0):
        return self.run_it("principal", *words, "-P", "policy.cfg", "-c", "clients.keys", code=code)

    def files(self):
        return self.policy.read_text(), self.clients.read_text()

    def test_add_makes_a_key_and_a_line_in_each_file(self):
        os.chmod(self.policy, 0o640)
        key = self.principal("add", "bob", "--role", "app").stdout.strip()
        self.assertEqual(len(key), 40)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "bob.key").st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.policy).st_mode), 0o640)
        self.assertEqual(self.policy.read_text(), POLICY.replace(
            "spring\n", f'spring\n    bob = "app {key}"\n'))
        self.assertEqual(self.clients.read_text(), CLIENTS + f"bob  {key}\n")
        before = self.files()
        self.assertEqual(self.principal("add", "bob", "-r", "app").stdout.strip(), key)
        self.assertEqual(self.files(), before)  # the same again changes nothing
        self.assertIn(f"bob\tapp\t{key}\t\n", self.principal("list").stdout)
        self.principal("revoke", "bob")
        self.assertEqual(self.files(), (POLICY, CLIENTS))
        self.assertEqual(sorted(each.name for each in self.folder.iterdir()),
                         ["bob.key", "clients.keys", "policy.cfg"])

    def test_a_key_may_be_given_as_text_or_in_a_file(self):
        (self.folder / "bob.pub").write_text(BOB + "\n")
        self.assertEqual(self.principal("add", "b1", "-r", "app", "-K", BOB).stdout, BOB + "\n")
        self.principal("revoke", "b1")
        self.principal("add", "b2", "-r", "app", "-K", "bob.pub")
        self.assertIn(BOB, self.policy.read_text())
        self.principal("add", "b3", "-r", "app", "-K", "nobody", code=78)

    def test_what_is_refused_changes_nothing(self):
        for words, code in ((("add", "bob"), 64), (("add", "bob", "-r", "boss"), 64),
                            (("add", "b b", "-r", "app"), 64), (("add", "", "-r", "app"), 64),
                            (("add", "../b", "-r", "app"), 64), (("add",), 64), (("drop", "x"), 64),
                            (("list", "x"), 64), (("revoke", "bob"), 2),
                            (("add", "alice", "-r", "app", "-K", BOB), 2),
                            (("add", "bob", "-r", "app", "-K", ALICE), 78)):
            self.principal(*words, code=code)
            self.assertEqual(self.files(), (POLICY, CLIENTS), words)
            self.assertEqual(len(list(self.folder.iterdir())), 2, words)

    def test_files_with_mistakes_are_left_alone(self):
        bad = POLICY + "    bob = \"boss\"\n"
        self.policy.write_text(bad)
        said = self.principal("add", "carl", "-r", "app", "-K", BOB, code=78).stderr
        self.assertIn("policy.cfg:11: ", said)
        self.assertEqual(self.files(), (bad, CLIENTS))
        self.policy.write_text(POLICY)
        self.clients.write_text("alice short\n")
        said = self.principal("revoke", "alice", code=78).stderr
        self.assertIn("clients.keys: line 1: ", said)
        self.assertEqual(self.files(), (POLICY, "alice short\n"))

    def test_one_of_the_two_files_is_enough(self):
        self.clients.unlink()
        self.run_it("principal", "revoke", "alice", PORTCULLIS_POLICY="policy.cfg")
        self.assertNotIn(ALICE, self.policy.read_text())
        self.clients.write_text(CLIENTS)
        self.policy.unlink()
        self.run_it("principal", "add", "bob", "-K", BOB, PORTCULLIS_CLIENTS="clients.keys")
        self.assertEqual(self.clients.read_text(), CLIENTS + f"bob  {BOB}\n")
        self.run_it("principal", "list", code=78)  # none of both
        self.run_it("principal", "list", "-P", "no.cfg", "-c", "clients.keys", code=78)

    def test_list_says_what_does_not_fit(self):
        self.policy.write_text(POLICY + '    carl = "app"\n')
        self.clients.write_text(f"alice  {BOB}\n# x\ndora  {ALICE}\n")
        lines = self.principal("list").stdout.splitlines()
        self.assertEqual(lines, ["name\trole\tkey\tnote",
                                 f"alice\tapp\t{BOB}\tthe keys differ",
                                 "carl\tapp\t-\tnot in the key list",
                                 f"dora\t-\t{ALICE}\tnot in the policy"])

    def test_a_link_stays_a_link(self):
        os.rename(self.policy, self.folder / "real.cfg")
        os.symlink("real.cfg", self.policy)
        self.principal("revoke", "alice", code=78)
        self.assertTrue(self.policy.is_symlink())
        self.assertEqual(self.files(), (POLICY, CLIENTS))

    def test_many_at_a_time_lose_nobody(self):
        threads = [threading.Thread(target=self.principal, args=("add", f"p{n}", "-r", "app"))
                   for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for text in self.files():
            self.assertEqual([n for n in range(12) if f"p{n} " not in text], [])

    def test_bundle_has_what_a_client_needs(self):
        (self.folder / "gate.pub").write_text(ALICE)
        self.run_it("keygen", "broker.key")
        done = self.run_it("bundle", "x.bundle", "-g", "tcp://a.example:5501", "-g",
                           "tcp://b.example:5501", "-G", "gate.pub", "-g", "tcp://c.example:5501",
                           "-G", BOB, "-B", "broker.key", "-p", "bob", "-k", "own.key")
        text = (self.folder / "x.bundle").read_text()
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "x.bundle").st_mode), 0o600)
        self.assertEqual(text.count(ALICE), 2)
        self.assertEqual(text.count(BOB), 1)
        self.assertIn(done.stdout.strip(), text)
        self.assertIn(done.stdout.strip(), (self.folder / "own.key").read_text())
        secret = text.split("secret-key")[1].split('"')[1]
        broker = (self.folder / "broker.key").read_text()
        self.assertNotIn(broker.split("secret-key")[1].split('"')[1], text)
        shown = self.run_it("bundle", "--show", "x.bundle").stdout
        self.assertIn("sealed: yes", shown)
        self.assertIn("tcp://c.example:5501", shown)
        self.assertNotIn(secret, shown)
        again = self.run_it("bundle", "-", "-g", "tcp://a.example:5501", "-G", "gate.pub", "-k",
                            "own.key")
        self.assertIn(secret, again.stdout)
        self.assertIn("nothing is sealed", again.stderr)

    def test_bundles_that_would_not_do_are_not_written(self):
        for words in (("-g", "a.example", "-G", ALICE), ("-g", "tcp://a:1"),
                      ("-g", "tcp://a:1", "-G", "short"),
                      ("-g", "tcp://a:1", "-G", ALICE, "-B", "x"),
                      ("-g", "tcp://a:1", "-G", ALICE, "-p", "b b")):
            self.run_it("bundle", "x.bundle", *words, code=78)
            self.assertFalse((self.folder / "x.bundle").exists(), words)
        self.run_it("bundle", "x.bundle", code=64)
        self.run_it("bundle", "clients.keys", "-g", "tcp://a:1", "-G", ALICE, code=78)
        self.assertEqual(self.clients.read_text(), CLIENTS)


if __name__ == "__main__":
    unittest.main()
