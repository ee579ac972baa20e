"""Reads the files of a Rust crate, and resolves each path in them to the file that defines it.

Rust is read by its tokens: macros are not expanded, and an item that one makes counts as defined in
the file of its module. Code for tests alone is left out.
"""

import re

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*)
    |(?P<literal>(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"
        |b?'(?:\\.[^'\n]*|[^\\'\n])')
    |(?P<lifetime>'\w+)
    |(?P<token>(?:r\#)?\w+|::|.)""",
    re.DOTALL | re.VERBOSE,
)
NAME = re.compile(r"[^\W\d]\w*")
DEFINES = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
STARTS_ITEM = DEFINES | {"pub", "mod", "use", "impl", "unsafe", "async", "extern", "macro_rules"}


def read_tokens(source):
    """The (text, line) tokens of Rust source; a literal is `""`, and comments are left out."""
    tokens, at, line = [], 0, 1
    while at < len(source):
        match = TOKEN.match(source, at)
        end = match.end()
        depth = 1 if match[0] == "/*" else 0
        while depth and (edge := re.compile(r"/\*|\*/").search(source, end)):
            depth += 1 if edge[0] == "/*" else -1
            end = edge.end()
        if match["token"] or match["literal"]:
            text = (match["token"] or '""').removeprefix("r#")
            tokens.append((text, line))
        line += source.count("\n", at, end)
        at = end
    return tokens


def closing(tokens, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i][0] in "([{") - (tokens[i][0] in ")]}")
        if depth == 0:
            return i
    return len(tokens) - 1


def item_end(tokens, at):
    """The index after the item, statement, field or match arm that begins at `at`."""
    while tokens[at][0] == "#":
        at = closing(tokens, at + 1) + 1
    first = tokens[at][0]
    while at < len(tokens) and tokens[at][0] not in ")]}":
        text = tokens[at][0]
        if text == ";" or (text == "," and first not in STARTS_ITEM):
            return at + 1
        if text in "([{":
            at = closing(tokens, at)
            if text == "{" and first != "use":
                return at + 1
        at += 1
    return at


def without_tests(tokens):
    """The tokens outside `#[cfg(test)]` items, and the set of lines of those items."""
    kept, lines, at = [], set(), 0
    while at < len(tokens):
        attribute = [text for text, _ in tokens[at : at + 20]]
        attribute = attribute[: attribute.index("]")] if "]" in attribute else []
        if attribute[:3] == ["#", "[", "cfg"] and "test" in attribute and "not" not in attribute:
            end = item_end(tokens, at)
            lines.update(range(tokens[at][1], tokens[end - 1][1] + 1))
            at = end
        else:
            kept.append(tokens[at])
            at += 1
    return kept, lines


def use_leaves(tokens):
    """Each (path, name, line) of a use tree that ends in `;`; the name of a glob is `*`."""
    path, outer, leaf = [], [], False
    for text, line in tokens:
        if text in (",", "}", ";"):
            if leaf:
                plain = path[: path.index("as")] if "as" in path else path
                yield plain[:-1] if plain[-1] == "*" else plain, path[-1], line
            if text != ";":
                path = outer.pop() if text == "}" else outer[-1]
            leaf = False
        elif text == "{":
            outer.append(path)
            leaf = False
        elif text != "::":
            path, leaf = [*path, text], True


class Module:
    """What one module defines, brings into scope, and mentions."""

    def __init__(self, file, parent=None):
        self.file, self.parent = file, parent
        self.root = parent.root if parent else self
        self.children, self.items = {}, set()
        self.uses, self.globs = {}, []  # name → (path, line, public); (path, line)
        self.paths, self.words = [], {}  # (path, line); first word of a path → line

    def look_up(self, name, want_module=False, seen=frozenset()):
        """The Module or file behind a name, "" if another crate's, None if there is none."""
        if (self, name, want_module) in seen:
            return None
        seen = seen | {(self, name, want_module)}
        if want_module and name in self.children:
            return self.children[name]
        if name in self.items:
            return self.file
        if name in self.uses:
            found = self.resolve(self.uses[name][0], want_module, seen)
            if found is not None or name not in self.children:
                return found or ""
        if name in self.children:
            return self.children[name]
        for path, _ in self.globs:
            target = self.resolve(path, True, seen)
            found = isinstance(target, Module) and target.look_up(name, want_module, seen)
            if found:
                return found
        return None

    def resolve(self, path, want_module=False, seen=frozenset()):
        """The Module or file a path leads to, "" for another crate's, None for nothing."""
        here = self
        for i, name in enumerate(path):
            if name == "crate":
                here = here.root
            elif name == "super":
                here = here.parent or here
            elif name != "self":
                found = here.look_up(name, want_module or i + 1 < len(path), seen)
                if found is None:  # made by a macro, or at the start of the path another crate
                    return here.file if i else None
                if not isinstance(found, Module):
                    return found
                here = found
        return here

    def arrows(self):
        """Each (file, line, path) that this module uses."""
        used = [(path, line) for path, line in self.paths if len(path) > 1]
        for name, (path, line, public) in self.uses.items():
            if not public or name in self.words:
                used.append((path, line))
        for path, line in used:
            yield self.resolve(path), line, "::".join(path)
        for path, line in self.globs:
            target = self.resolve(path, True)
            if not isinstance(target, Module):  # the variants of an enum
                yield target, line, "::".join(path)
                continue
            for word, at in self.words.items():
                if word not in self.items and word not in self.uses:
                    yield target.look_up(word), at, "::".join([*path, word])


class Crate:
    """The files and functions of one crate, and the arrows between its files."""

    def __init__(self, folder):
        self.name, self.source = folder.name, folder / "src"
        self.lines, self.functions, self.modules = {}, [], []
        for pattern in ("lib.rs", "main.rs", "bin/*.rs"):
            for root in sorted(self.source.glob(pattern)):
                self.read_file(root, self.source, None)
        self.arrows = {file: {} for file in self.lines}  # from → to → first (line, path)
        for module in self.modules:
            for target, line, path in module.arrows():
                if isinstance(target, str) and target not in ("", module.file):
                    known = self.arrows[module.file].get(target, (line, path))
                    self.arrows[module.file][target] = min(known, (line, path))

    def read_file(self, path, folder, parent):
        """Reads a module's file and its children, whose files lie in `folder`."""
        source, name = path.read_text(), path.relative_to(self.source).as_posix()
        tokens, test_lines = without_tests(read_tokens(source))
        self.lines[name] = source.count("\n") - len(test_lines)
        for at, (text, line) in enumerate(tokens[:-1]):
            end = item_end(tokens, at) if text == "fn" and NAME.match(tokens[at + 1][0]) else at
            if end > at and tokens[end - 1][0] == "}":
                inside = set(range(line, tokens[end - 1][1] + 1)) - test_lines
                place = f"{self.name}/{name}:{line}"
                self.functions.append((len(inside), place, tokens[at + 1][0]))
        return self.read_module(tokens, Module(name, parent), folder)

    def read_module(self, tokens, module, folder):
        """Notes what the tokens of a module's body define, bring into scope, and mention."""
        self.modules.append(module)
        tokens = [*tokens, ("", 0), ("", 0)]
        depth, at, public, before = 0, 0, False, ""
        while at < len(tokens) - 2:
            (text, line), after = tokens[at], tokens[at + 1][0]
            depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            end = at + 1
            if text == "pub":
                end = closing(tokens, end) + 1 if after == "(" else end
            elif text == "use" and after != "<":
                end = item_end(tokens, at)
                for path, name, line in use_leaves(tokens[at + 1 : end] if after != "::" else []):
                    if name == "*":
                        module.globs.append((path, line))
                    else:
                        # A trailing `self` lets the path resolve to a module, not a function.
                        name = path[-2] if name == "self" else name
                        name = f"_ {len(module.uses)}" if name == "_" else name
                        module.uses[name] = (path, line, public)
            elif text == "mod" and tokens[at + 2][0] == "{":
                end = closing(tokens, at + 2) + 1
                child = module.children[after] = Module(module.file, module)
                self.read_module(tokens[at + 3 : end - 1], child, folder / after)
            elif text == "mod" and NAME.match(after):
                for path in (folder / f"{after}.rs", folder / after / "mod.rs"):
                    if path.exists() and after != "tests":
                        module.children[after] = self.read_file(path, folder / after, module)
            elif depth == 0 and text == "macro_rules":
                module.items.add(tokens[at + 2][0])
            elif depth == 0 and text in DEFINES and NAME.match(after):
                module.items.add(tokens[at + 2][0] if after == "mut" else after)
            elif NAME.match(text) and before not in (".", "::"):
                while tokens[end][0] == "::" and NAME.match(tokens[end + 1][0]):
                    end += 2
                module.paths.append(([text for text, _ in tokens[at:end:2]], line))
                if before not in DEFINES and before != "mod":
                    module.words.setdefault(text, line)
            public, before, at = text == "pub", tokens[end - 1][0], end
        return module
