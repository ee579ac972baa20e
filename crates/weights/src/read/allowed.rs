//! The Python callables that a file of weights may use.
//!
//! Close to what `torch.load(weights_only=True)` allows, with the plain values that training
//! scripts keep beside their weights: NumPy arrays, paths, dates and argument namespaces.

/// Names that may be called, or handed to a call.
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
            "object",
            "range",
            "set",
            "slice",
            "str",
            "tuple",
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

/// Whether calling `module.name` only builds plain data or a tensor.
pub(super) fn is_allowed(module: &str, name: &str) -> bool {
    // Since pickle protocol 4 a dotted name reaches inside of an object.
    if name.contains('.') {
        return false;
    }
    // Python 2's name, NumPy 2's, and Python 3.13's for the same modules.
    let module = match module {
        "__builtin__" => "builtins",
        "numpy._core.multiarray" => "numpy.core.multiarray",
        "numpy._core.numeric" => "numpy.core.numeric",
        "pathlib._local" => "pathlib",
        other => other,
    };
    match module {
        "torch._utils" => name.starts_with("_rebuild_"),
        "torch" | "torch.cuda" if name.ends_with("Storage") => true,
        "numpy.dtypes" => name.ends_with("DType"),
        _ => NAMES
            .iter()
            .any(|(allowed, names)| *allowed == module && names.contains(&name)),
    }
}
