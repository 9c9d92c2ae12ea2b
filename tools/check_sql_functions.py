#!/usr/bin/env python3
"""Hold sql/functions.def to a scratch MariaDB or MySQL server.

usage: check_sql_functions.py SOCKET

Never point it at a server whose data matter: it makes stored functions as root.
For every name of the table, and every name that the server lists as a function or
a word (its help, SQL_FUNCTIONS, KEYWORDS), a stored function of that name is made
with each count of parameters, and called: a server that calls it does not build
the name in.  It fails when

  1. a name is without effect for us and the server calls the stored function;
  2. a client may make a function of a name that reads are judged by;
  3. the server builds in what is neither in the table nor left out below.
"""
import re
import sys
import tempfile

from sql_scratch import READ, REFUSED, Classifier, Server, function_table

SCHEMA = "pcl_functions"
ARITIES = range(6)
SYNTAX_ERROR = 1064
# A component's since MySQL 9.6.  Without it the names are free there, which rule 7.6
# of docs/sql.md makes harmless.
COMPONENT = {"md5", "sha", "sha1"}

LEFT_OUT = {
    "words of the grammar that stand before no parenthesis of a query, or where we need not "
    "know them":
        "character sql_tsi_day sql_tsi_hour sql_tsi_minute sql_tsi_month sql_tsi_quarter "
        "sql_tsi_second sql_tsi_week sql_tsi_year unique",
    "the server's own, for its system tables: not for clients":
        "can_access_column can_access_database can_access_table can_access_user can_access_view "
        "get_dd_column_privileges get_dd_create_options get_dd_index_sub_part_length "
        "internal_auto_increment internal_avg_row_length internal_check_time internal_checksum "
        "internal_data_free internal_data_length internal_dd_char_length "
        "internal_get_comment_or_error internal_get_enabled_role_json internal_get_hostname "
        "internal_get_username internal_get_view_warning_or_error "
        "internal_index_column_cardinality internal_index_length internal_is_enabled_role "
        "internal_is_mandatory_role internal_keys_disabled internal_max_data_length "
        "internal_table_rows internal_update_time is_visible_dd_object",
    "tell of accounts, other connections, logs or the cluster":
        "binlog_gtid_pos ps_current_thread_id ps_thread_id roles_graphml "
        "wsrep_last_seen_gtid wsrep_last_written_gtid",
    "read the server's file of keys": "des_decrypt des_encrypt",
    "not in the oldest servers that we serve: a name that was free there":
        "crc32c json_equals json_normalize json_overlaps json_pretty mbrequals natural_sort_key "
        "random_bytes sformat st_mlinefromtext st_mlinefromwkb st_mpointfromtext "
        "st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb string_to_vector vec_distance "
        "vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext vector_dim "
        "vector_to_string",
    "a component's": "validate_password_strength",
}


def listed(server):
    """What the server itself lists."""
    names = set()
    for row in server.rows(b"SELECT name FROM mysql.help_topic"):
        names.add(re.split(r"[ (]", row[0].decode().lower())[0])
    for question in (b"SELECT * FROM information_schema.sql_functions",
                     b"SELECT word FROM information_schema.keywords"):
        names.update(row[0].decode().lower() for row in server.rows(question) or [] if row[0])
    return {name for name in names if re.fullmatch(r"[a-z_]\w*", name)}


def calls(name):
    """Each count of parameters, with the ways to call it."""
    for arity in ARITIES:
        parameters = ", ".join(f"p{index} INT" for index in range(arity))
        values = ", ".join(str(index + 1) for index in range(arity))
        yield parameters, (f"{name}({values})", f"{name}((SELECT 1))", f"{name} ({values})")


def probe(server, name):
    """The calls that reach a stored function of that name, and whether the server
    knows the name for anything but a word of its grammar."""
    stored, known = [], False
    for parameters, ways in calls(name):
        server.must(f"CREATE FUNCTION `{name}` ({parameters}) RETURNS VARCHAR(9) "
                    "DETERMINISTIC RETURN 'STORED'")
        for call in ways:
            error, value = server.run(f"SELECT {call}".encode())
            if value == "STORED":
                stored.append(call)
            elif error is None or server.errno() != SYNTAX_ERROR:
                known = True
        server.must(f"DROP FUNCTION `{name}`")
    return stored, known


def check_name(server, classifier, name, entry):
    wrong = 0
    stored, known = probe(server, name)
    for call in stored:
        if classifier.class_of(f"SELECT {call}".encode()) == READ and name not in COMPONENT:
            wrong += 1
            print(f"a stored function may stand for it: {call}")
    here = entry and entry[1] in ("BOTH", server.flavor().upper())
    made = f"CREATE FUNCTION {name}() RETURNS INT RETURN 1".encode()
    if here and classifier.class_of(made) != REFUSED:
        wrong += 1
        print(f"a client may make a stored function of this name: {name}")
    left_out = any(name in names.split() for names in LEFT_OUT.values())
    spaced = [call for call in stored if " (" in call]
    if not entry and not left_out and known and len(stored) == len(spaced):
        wrong += 1
        print(f"built in, and neither in the table nor left out: {name}")
    return wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    server = Server(sys.argv[1])
    server.must(f"DROP DATABASE IF EXISTS {SCHEMA}")
    server.must(f"CREATE DATABASE {SCHEMA}")
    server.must("SET GLOBAL log_bin_trust_function_creators = 1")
    server.schema = SCHEMA
    server.reconnect()
    entries = function_table()
    names = sorted(entries.keys() | listed(server))
    with tempfile.TemporaryDirectory() as folder:
        classifier = Classifier(folder, server.flavor())
        both = Classifier(folder, "both")
        wrong = 0
        for name in names:
            wrong += check_name(server, classifier, name, entries.get(name))
            text = f"SELECT {name}(1)".encode()
            if both.class_of(text) == READ and classifier.class_of(text) != READ:
                wrong += 1
                print(f"more for both than for {server.flavor()}: {name}")
    server.must(f"DROP DATABASE {SCHEMA}")
    print(f"{len(entries)} names in the table, {len(names)} asked, {wrong} wrong "
          f"({server.flavor()})")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
