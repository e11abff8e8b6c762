# SPDX-License-Identifier: BSD-2-Clause
"""Reads a Varlink interface definition, and holds values to the types in it.

A type is a name ("int", "string", or one that the definition declares), ("?", type), ("[]", type), ("[string]", type),
an enum (a list of names) or a struct (a dict).
"""

import re

WORD = re.compile(r"\s+|#[^\n]*|(\?|\[\]|\[string\]|->|[(),:]|[A-Za-z][A-Za-z0-9_.-]*)")
PLAIN = {"bool": bool, "int": int, "float": (int, float), "string": str, "object": dict}


class Interface:
    def __init__(self, text):
        self.types, self.methods, self.errors = {}, {}, {}
        self.words = []
        at = 0
        while at < len(text):
            m = WORD.match(text, at)
            assert m, f"what is this: {text[at:at + 40]!r}"
            at = m.end()
            if m[1]:
                self.words.append(m[1])
        self.take("interface")
        self.name = self.take()
        while self.words:
            kind, name = self.take(), self.take()
            known = {"type": self.types, "method": self.methods, "error": self.errors}[kind]
            # One namespace for all three kinds: systemd's parser refuses a method that is called as a type.
            taken = [*self.types, *self.methods, *self.errors]
            assert name not in taken and re.fullmatch("[A-Z][A-Za-z0-9]*", name), name
            known[name] = self.struct()
            if kind == "method":
                self.take("->")
                known[name] = (known[name], self.struct())

    def take(self, expected=None):
        word = self.words.pop(0)
        assert expected in (None, word), (expected, word)
        return word

    def struct(self):
        """A struct or an enum: after its first word it is clear."""
        fields, names = {}, []
        self.take("(")
        while self.words[0] != ")":
            name = self.take()
            if self.words[0] == ":":
                self.take(":")
                assert name not in fields
                fields[name] = self.type()
            else:
                names.append(name)
            if self.words[0] != ")":
                self.take(",")
        self.take(")")
        assert not (fields and names)
        return names or fields

    def type(self):
        if self.words[0] in ("?", "[]", "[string]"):
            return self.take(), self.type()
        return self.struct() if self.words[0] == "(" else self.take()

    def check(self, value, kind, where):
        """The value is of that type, and has nothing that is not declared."""
        if isinstance(kind, tuple):
            if kind[0] == "?":
                if value is not None:
                    self.check(value, kind[1], where)
                return
            values = value if kind[0] == "[]" else value.values()
            assert isinstance(value, list if kind[0] == "[]" else dict), (where, value)
            for v in values:
                self.check(v, kind[1], where)
        elif isinstance(kind, list):
            assert value in kind, (where, value)
        elif isinstance(kind, dict):
            assert isinstance(value, dict), (where, value)
            assert set(value) <= set(kind), f"{where} has {set(value) - set(kind)}, which is not declared"
            for name, k in kind.items():
                assert name in value or k[0] == "?", f"{where} lacks {name}: {value}"
                self.check(value.get(name), k, f"{where}.{name}")
        elif kind in PLAIN:
            assert isinstance(value, PLAIN[kind]) and (kind == "bool") == isinstance(value, bool), (where, kind, value)
        else:
            self.check(value, self.types[kind], where)

    def resolve(self, kind):
        return self.resolve(self.types[kind]) if isinstance(kind, str) and kind not in PLAIN else kind

    def example(self, kind):
        """A value of that type, and one that is not."""
        kind = self.resolve(kind)
        if isinstance(kind, tuple):
            return {"?": lambda: self.example(kind[1]), "[]": lambda: ([self.example(kind[1])[0]], [self.example(kind[1])[1]]),
                    "[string]": lambda: ({}, [])}[kind[0]]()
        if isinstance(kind, str):
            return {"bool": (True, 1), "int": (1, "1"), "float": (0.5, "0.5"), "string": ("x", 1), "object": ({}, [])}[kind]
        return (kind[0], 7) if isinstance(kind, list) else ({n: self.example(k)[0] for n, k in kind.items()}, [])
