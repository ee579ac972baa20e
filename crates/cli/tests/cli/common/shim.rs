//! A library in front of the C library that counts calls and makes one of them fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

/// Kinds of calls, in the order in which the library counts them.
pub const KINDS: [&str; 7] = [
    "open", "write", "fsync", "rename", "mkdir", "unlink", "memory",
];
pub const MEMORY: usize = 6;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By an error of the system.
    Error(&'static str, i32),
    /// A write, after half of its bytes.
    Short,
    /// By SIGKILL before it.
    Kill,
    /// By SIGKILL after half of the bytes of a write.
    Torn,
}

impl How {
    pub fn kills(self) -> bool {
        matches!(self, Self::Kill | Self::Torn)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Error(name, _) => name,
            Self::Short => "short",
            Self::Kill => "kill",
            Self::Torn => "torn",
        })
    }
}

/// The call of a kind that fails, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: usize,
    pub call: u64,
    pub how: How,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}: {}", KINDS[self.kind], self.call, self.how)
    }
}

/// The library.
pub struct Shim(PathBuf);

impl Shim {
    /// Compiles it into a folder.
    pub fn build(folder: &Path) -> Self {
        let library = folder.join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/faults/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
        compiler.arg("-o").args([&library, Path::new(source)]);
        let output = compiler
            .arg("-ldl")
            .output()
            .expect("this test needs a C compiler named `cc`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{source}: {said}");
        Self(library)
    }

    /// Makes a command count its calls on files below a folder in the file `counts`, and makes one of them fail.
    pub fn watch(&self, command: &mut Command, below: &Path, counts: &Path, fault: Option<Fault>) {
        fs::write(counts, [0; 8 * KINDS.len()]).unwrap();
        command
            .env("LD_PRELOAD", &self.0)
            .env("FAULT_BELOW", below.canonicalize().unwrap())
            .env("FAULT_COUNTS", counts);
        if let Some(fault) = fault {
            let how = match fault.how {
                How::Error(_, number) => number.to_string(),
                how => how.to_string(),
            };
            command
                .env("FAULT_KIND", KINDS[fault.kind])
                .env("FAULT_AT", fault.call.to_string())
                .env("FAULT_HOW", how);
        }
    }
}

/// Calls of each kind in a file of counts.
pub fn counted(counts: &Path) -> [u64; KINDS.len()] {
    let bytes = fs::read(counts).unwrap();
    let numbers = bytes.as_chunks::<8>().0.iter();
    let numbers: Vec<u64> = numbers.map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    numbers.try_into().unwrap()
}
