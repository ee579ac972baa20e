//! Trust in the Python classes and functions that a pickle names. Nothing is ever imported or called.

/// The reader's trust in a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::read) enum Trust {
    /// It builds plain data or a tensor.
    Plain,
    /// A class or function of another library: what it makes is skipped, unless it is given a tensor.
    Foreign,
    /// A class or function of Python, PyTorch or NumPy that is not known to build plain data: it may run
    /// anything, so a file that calls it is refused.
    Refused,
}

/// Names that build plain data: close to what `torch.load(weights_only=True)` allows, with the values that
/// training scripts keep beside their weights: NumPy arrays, paths, dates and argument namespaces.
const NAMES: &[(&str, &[&str])] = &[
    (
        "collections",
        &["Counter", "OrderedDict", "defaultdict", "deque"],
    ),
    (
        "builtins",
        &[
            "bool",
            "bytearray",
            "bytes",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "long",
            "object",
            "range",
            "set",
            "slice",
            "str",
            "tuple",
            "unicode",
            "xrange",
        ],
    ),
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    (
        "datetime",
        &["date", "datetime", "time", "timedelta", "timezone"],
    ),
    (
        "pathlib",
        &[
            "Path",
            "PosixPath",
            "PurePath",
            "PurePosixPath",
            "PureWindowsPath",
            "WindowsPath",
        ],
    ),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    (
        "numpy.random._pickle",
        &[
            "__bit_generator_ctor",
            "__generator_ctor",
            "__randomstate_ctor",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.nn.parameter", &["Buffer", "Parameter"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
    (
        "torch",
        &[
            "Size",
            "Tensor",
            "bfloat16",
            "bool",
            "channels_last",
            "complex128",
            "complex64",
            "contiguous_format",
            "device",
            "double",
            "dtype",
            "float",
            "float16",
            "float32",
            "float64",
            "half",
            "int",
            "int16",
            "int32",
            "int64",
            "int8",
            "long",
            "preserve_format",
            "short",
            "strided",
            "uint16",
            "uint32",
            "uint64",
            "uint8",
        ],
    ),
];

/// Names in Python's own library that pickles of objects call. They make objects that do nothing until they
/// are called, and a pickle that calls what it made is refused.
const OBJECTS: &[(&str, &[&str])] = &[
    ("builtins", &["getattr"]),
    ("copyreg", &["_reconstructor", "__newobj__"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("functools", &["partial"]),
    ("ipaddress", &["IPv4Address", "IPv6Address"]),
    ("logging", &["getLogger"]),
    ("operator", &["attrgetter", "itemgetter"]),
    ("re", &["RegexFlag", "_compile"]),
    ("uuid", &["SafeUUID", "UUID"]),
    ("zoneinfo", &["ZoneInfo"]),
];

/// PyTorch's and NumPy's packages, which can load other files and run what is in them.
const STRICT_LIBRARIES: &[&str] = &["numpy", "torch"];

/// Parts of them that cannot, and whose classes occur in settings (`functools.partial(torch.nn.BatchNorm2d,
/// eps=1e-3)`).
const LENIENT_PARTS: &[&str] = &["torch.nn.", "torch.optim."];

/// Names of functions that run a text or load another pickle, in any library.
const RUNNERS: &[&str] = &[
    "Popen",
    "call",
    "check_call",
    "check_output",
    "eval",
    "exec",
    "import_module",
    "load",
    "loads",
    "popen",
    "read_pickle",
    "run",
    "spawn",
    "system",
    "unpickle",
];

/// The modules of Python 3.11's standard library (`sys.stdlib_module_names`) and of Python 2's.
const STANDARD_LIBRARY: &str = "
ConfigParser Queue SocketServer StringIO __builtin__ __future__ _abc _aix_support _ast _asyncio
_bisect _blake2 _bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp
_codecs_kr _codecs_tw _collections _collections_abc _compat_pickle _compression _contextvars
_crypt _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _elementtree _frozen_importlib
_frozen_importlib_external _functools _gdbm _hashlib _heapq _imp _io _json _locale _lsprof _lzma
_markupbase _md5 _msi _multibytecodec _multiprocessing _opcode _operator _osx_support
_overlapped _pickle _posixshmem _posixsubprocess _py_abc _pydecimal _pyio _queue _random
_scproxy _sha1 _sha256 _sha3 _sha512 _signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat
_statistics _string _strptime _struct _symtable _thread _threading_local _tkinter _tokenize
_tracemalloc _typing _uuid _warnings _weakref _weakrefset _winapi _zoneinfo abc aifc argparse
array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins bz2
cPickle cProfile cStringIO calendar cgi cgitb chunk cmath cmd code codecs codeop collections
colorsys commands compileall concurrent configparser contextlib contextvars copy copy_reg
copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils dl
doctest email encodings ensurepip enum errno exceptions faulthandler fcntl filecmp fileinput
fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip
hashlib heapq hmac html http httplib imaplib imghdr imp importlib inspect io ipaddress itertools
json keyword linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap
modulefinder msilib msvcrt multiprocessing netrc new nis nntplib nt ntpath nturl2path numbers
opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform
plistlib popen2 poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc
pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched
secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket
socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string
stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib
tempfile termios textwrap threading time timeit tkinter token tokenize tomllib trace traceback
tracemalloc tty turtle types typing unicodedata unittest urllib urllib2 urlparse uu uuid venv
warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc xmlrpclib zipapp
zipfile zipimport zlib zoneinfo
";

/// Returns the reader's trust in `module.name`.
pub(super) fn trust(module: &str, name: &str) -> Trust {
    // The names of Python 2, NumPy 2 and Python 3.13 for the same modules.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "numpy._core.multiarray" => "numpy.core.multiarray",
        "numpy._core.numeric" => "numpy.core.numeric",
        "pathlib._local" => "pathlib",
        other => other,
    };
    if is_plain(module, name) {
        return Trust::Plain;
    }
    if lists(OBJECTS, module, name) {
        return Trust::Foreign;
    }
    let package = module.split('.').next().unwrap_or(module);
    // Since pickle protocol 4, a dotted name reaches into an object, such as a module's `os`.
    let mut path = name.split('.').chain([package]);
    let is_lenient = LENIENT_PARTS.iter().any(|part| module.starts_with(part));
    let is_strict = (STRICT_LIBRARIES.contains(&package) && !is_lenient)
        || path.any(is_of_standard_library)
        || name.split('.').any(|part| RUNNERS.contains(&part));
    if is_strict {
        Trust::Refused
    } else {
        Trust::Foreign
    }
}

fn is_of_standard_library(module: &str) -> bool {
    STANDARD_LIBRARY
        .split_ascii_whitespace()
        .any(|known| known == module)
}

fn lists(list: &[(&str, &[&str])], module: &str, name: &str) -> bool {
    list.iter()
        .any(|(listed, names)| *listed == module && names.contains(&name))
}

fn is_plain(module: &str, name: &str) -> bool {
    if name.contains('.') {
        return false;
    }
    match module {
        "torch._utils" => name.starts_with("_rebuild_"),
        "torch" | "torch.cuda" if name.ends_with("Storage") => true,
        "torch" if is_element_type(name) => true,
        "numpy.dtypes" => name.ends_with("DType"),
        _ => lists(NAMES, module, name),
    }
}

/// `float8_e4m3fn`, `complex64`, `qint8`: a name of one of PyTorch's element types.
fn is_element_type(name: &str) -> bool {
    const STEMS: [&str; 8] = [
        "bfloat", "bits", "complex", "float", "int", "qint", "quint", "uint",
    ];
    STEMS.iter().any(|stem| {
        name.strip_prefix(stem)
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_data_objects_and_code_are_told_apart() {
        for (module, name, expected) in [
            ("collections", "OrderedDict", Trust::Plain),
            ("torch._utils", "_rebuild_tensor_v2", Trust::Plain),
            ("torch", "float8_e4m3fn", Trust::Plain),
            (
                "mmengine.logging.history_buffer",
                "HistoryBuffer.mean",
                Trust::Foreign,
            ),
            ("omegaconf.dictconfig", "DictConfig", Trust::Foreign),
            ("torch.nn.modules.batchnorm", "BatchNorm2d", Trust::Foreign),
            (
                "torch.nn.modules.batchnorm",
                "torch.os.system",
                Trust::Refused,
            ),
            ("__main__", "Mode", Trust::Foreign),
            ("__builtin__", "getattr", Trust::Foreign),
            ("os", "system", Trust::Refused),
            ("posix", "system", Trust::Refused),
            ("collections", "_sys", Trust::Refused),
            ("torch._utils", "_rebuild_x.system", Trust::Refused),
            ("torch.hub", "load", Trust::Refused),
            ("torch.storage", "_load_from_bytes", Trust::Refused),
            ("torchvision", "os.system", Trust::Refused),
            ("pandas", "eval", Trust::Refused),
        ] {
            assert_eq!(trust(module, name), expected, "{module}.{name}");
        }
    }
}
