"""The tests of scripts/structure and its reader of Rust, on small made-up workspaces."""

import contextlib
import importlib.machinery
import importlib.util
import io
import tempfile
import unittest
from pathlib import Path

from rust_imports import Crate

LOADER = importlib.machinery.SourceFileLoader("structure", str(Path(__file__).parent / "structure"))
structure = importlib.util.module_from_spec(importlib.util.spec_from_loader("structure", LOADER))
LOADER.exec_module(structure)

HALF_A_CIRCLE = {"lib.rs": "mod a; mod b;", "b.rs": "use crate::a::A; pub struct B(A);"}


class Structure(unittest.TestCase):
    """One workspace a test."""

    def run_on(self, crates, needs=None):
        """The exit status and output for crates given as {crate: {file below src: source}}."""
        with tempfile.TemporaryDirectory() as folder:
            for crate, files in crates.items():
                home = Path(folder) / "crates" / crate
                for name, source in files.items():
                    path = home / "src" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(source + "\n")
                manifest = f'[package]\nname = "x-{crate}"\n[dependencies]\n'
                for need in (needs or {}).get(crate, ()):
                    manifest += f"x-{need}.workspace = true\n"
                manifest += '[dev-dependencies]\nx-unseen.workspace = true\n'
                (home / "Cargo.toml").write_text(manifest)
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                status = structure.main(Path(folder))
            return status, output.getvalue()

    def arrows(self, files):
        """The (from, to) arrows of one crate."""
        with tempfile.TemporaryDirectory() as folder:
            for name, source in files.items():
                path = Path(folder) / "src" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(source + "\n")
            crate = Crate(Path(folder))
            return sorted((a, b) for a, targets in crate.arrows.items() for b in targets)

    def test_circle_of_three_fails_and_is_shown(self):
        files = {
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "use crate::b::B;\npub struct A(B);",
            "b.rs": "use super::c::C;\npub struct B(C);",
            "c.rs": "\nuse crate::a::A;\npub struct C(A);",
        }
        status, output = self.run_on({"data": files})
        self.assertEqual(status, 1)
        self.assertIn("data: 3 files", output)
        self.assertIn("a.rs:1 uses crate::b::B of b.rs", output)
        self.assertIn("c.rs:2 uses crate::a::A of a.rs", output)

    def test_circle_of_two_through_a_re_export_fails_in_strict_crates_only(self):
        files = {
            "lib.rs": "pub mod x; mod user;",
            "x/mod.rs": "mod y; pub use y::Y;",
            "x/y.rs": "use crate::user::User; pub struct Y(User);",
            "user.rs": "use crate::x::Y; pub struct User(Box<Y>);",
        }
        self.assertEqual(self.arrows(files), [("user.rs", "x/y.rs"), ("x/y.rs", "user.rs")])
        self.assertEqual(self.run_on({"run": files})[0], 1)
        status, output = self.run_on({"data": files})
        self.assertEqual(status, 0)
        self.assertIn("data: 2 files, allowed here", output)

    def test_re_export_is_an_arrow_only_if_the_name_is_used_beside_it(self):
        child = {"a.rs": "pub fn f() {}"}
        self.assertEqual(self.arrows({"lib.rs": "mod a; pub use a::f;", **child}), [])
        used = self.arrows({"lib.rs": "mod a; pub(crate) use a::f; fn g() { f() }", **child})
        self.assertEqual(used, [("lib.rs", "a.rs")])

    def test_inline_paths(self):
        for path in ("crate::b::f()", "super::b::f()", "self::deep::f()", "deep::<crate::b::F>()"):
            source = f"mod deep {{ use crate::b; fn h() {{ b::f() }} }} fn g() {{ {path} }}"
            files = {"lib.rs": "mod a; mod b;", "a.rs": source, "b.rs": "pub fn f() {}"}
            self.assertEqual(self.arrows(files), [("a.rs", "b.rs")], path)
        files["a.rs"] = "use crate::b as other; fn g() { other::f() }"
        self.assertEqual(self.arrows(files), [("a.rs", "b.rs")])
        files["a.rs"] = "use crate::b; fn g() { std::b::f(); x.b() }"
        self.assertEqual(self.arrows(files), [])

    def test_test_code_does_not_count(self):
        for source in (
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; fn f() { crate::b::B; } }",
            "pub struct A; #[cfg(all(test, unix))] use crate::b::B;",
            "pub struct A; mod tests;",
        ):
            files = {**HALF_A_CIRCLE, "a.rs": source, "a/tests.rs": "use crate::b::B;"}
            self.assertEqual(self.arrows(files), [("b.rs", "a.rs")], source)
        files["a.rs"] = "pub struct A; #[cfg(test)] fn f() { } fn g() { crate::b::B; }"
        self.assertIn(("a.rs", "b.rs"), self.arrows(files))

    def test_brace_lists_globs_and_names(self):
        defined = {"x.rs": "pub struct X;", "y.rs": "pub fn y() {}", "z.rs": "pub enum Z { One }"}
        for source in (
            "use crate::{x::{self, X}, y::{y as why}, z::Z::{self, *}};",
            "use {crate::x::X as _, super::{y::y}}; use crate::z::*; type T = Z;",
            "use crate::x::*; use crate::y::*; use crate::z::Z::*; fn f() { X; y() }",
        ):
            files = {"lib.rs": "mod a; mod x; mod y; mod z;", "a.rs": source, **defined}
            expected = [("a.rs", "x.rs"), ("a.rs", "y.rs"), ("a.rs", "z.rs")]
            self.assertEqual(self.arrows(files), expected, source)

    def test_module_and_function_of_one_name(self):
        files = {"lib.rs": "mod a; mod b;", "a/mod.rs": "mod read; pub use read::read;"}
        files |= {"a/read.rs": "pub fn read() {}", "b.rs": "use crate::a::read;"}
        self.assertEqual(self.arrows(files), [("b.rs", "a/read.rs")])
        files["b.rs"] = "use crate::a::read::{self}; fn f() { read::none() }"
        self.assertEqual(self.arrows(files), [("b.rs", "a/read.rs")])
        files["b.rs"] = "use crate::a::read::{self, };"
        self.assertEqual(self.arrows(files), [])

    def test_comments_strings_and_lifetimes_are_not_code(self):
        source = r"""pub struct A; // crate::b::B
        /* crate::b::B /* nested */ crate::b::B */
        const S: &str = "\" crate::b::B"; const R: &str = r#" " crate::b::B "#;
        const C: [char; 4] = ['"', '\'', '\u{22}', '\\']; const B: u8 = b'"';
        fn f<'a>(x: &'a str) -> &'a str { 'outer: loop { break 'outer } x }"""
        self.assertEqual(self.arrows({**HALF_A_CIRCLE, "a.rs": source}), [("b.rs", "a.rs")])
        after = source + "fn g() { crate::b::B; }"
        self.assertIn(("a.rs", "b.rs"), self.arrows({**HALF_A_CIRCLE, "a.rs": after}))

    def test_crate_arrows_and_sizes(self):
        long = "\nfn long() {\n    let x = [0; 3];\n    loop {}\n}\n#[cfg(test)]\nmod tests {\n}"
        crates = {"base": {"lib.rs": long}, "cli": {"main.rs": "fn main() {}"}}
        status, output = self.run_on(crates, {"cli": ["base"]})
        self.assertEqual(status, 0)
        self.assertIn("  cli        base\n  base       (none)\n", output)
        self.assertIn("     5  base/lib.rs:1\n     1  cli/main.rs:1\n", output)
        self.assertIn("     4  base/lib.rs:2  long\n     1  cli/main.rs:1  main\n", output)
        self.assertLessEqual(max(map(len, output.splitlines())), 100)


if __name__ == "__main__":
    unittest.main()
