#!/usr/bin/env python3
"""What bench/sysbench declares of libportcullis, and of its own C, is what the headers declare:
LuaJIT calls by the declaration alone, so one that is wrong reads foreign memory.
usage: test_sysbench_api.py SOURCE"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
HEADERS = ("client/portcullis.h", "bench/sysbench/statement.h")
FUNCTIONS_MIN = 35  # fewer are not all of the file


def plain(text):
    """Declarations without comments, directives and attributes, in one spelling."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^#.*?(?<!\\)$", " ", text, flags=re.M)
    text = re.sub(r"\bPORTCULLIS_(API|MUST_CHECK)\b", " ", text)
    # A result's code is an int there: its numbers are not needed.
    text = re.sub(r"\bportcullis_code (?=portcullis_)", "int ", text)
    return re.sub(r"\s*([*(),;{}\[\]=])\s*", r"\1", re.sub(r"\s+", " ", text))


def declarations(text):
    """{name: declaration} of functions and of types with a body."""
    text = plain(text)
    found = {match[2]: match[0] for match in
             re.finditer(r"(?:(?<=[;}])|^)\s*([\w ]+?\*?)((?:portcullis|pcl_sysbench)_?\w*)"
                         r"\(([^()]*)\);", text)}
    found.update({match[1]: match[0] for match in
                  re.finditer(r"typedef (?:struct|enum) (\w+)\{[^}]*\}\w+;", text)})
    return found


def functions_of(found):
    return {name for name in found if not found[name].startswith("typedef")}


class SysbenchApi(unittest.TestCase):
    def test_every_declaration_is_the_headers(self):
        header = {}
        for file in HEADERS:
            header.update(declarations((ROOT / file).read_text()))
        lua = "".join(re.findall(r"ffi\.cdef \[\[(.*?)\]\]",
                                 (ROOT / "bench/sysbench/libportcullis.lua").read_text(), re.S))
        own = declarations(lua)
        functions = functions_of(own)
        self.assertGreaterEqual(len(functions), FUNCTIONS_MIN)
        for name, declaration in own.items():
            self.assertEqual(declaration.strip(), header.get(name, "nothing").strip(), name)
        pointers = lua.count("(*")  # to functions, with two pairs each
        self.assertEqual(lua.count("("), len(functions) + 2 * pointers,
                         "a declaration was not understood")

    def test_the_driver_calls_nothing_that_is_not_declared(self):
        own = declarations("".join(re.findall(
            r"ffi\.cdef \[\[(.*?)\]\]",
            (ROOT / "bench/sysbench/libportcullis.lua").read_text(), re.S)))
        driver = (ROOT / "bench/sysbench/portcullis.lua").read_text()
        called = set(re.findall(r"\b(?:lib|own)\.((?:portcullis|pcl_sysbench)_\w+)", driver))
        self.assertGreater(len(called), FUNCTIONS_MIN - 10)
        self.assertEqual(called - set(own), set())
        unused = functions_of(own) - called
        self.assertEqual(unused, set(), "declared and never called")


if __name__ == "__main__":
    unittest.main()
