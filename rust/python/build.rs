//! Records how the extension was built, for bug reports and for every JSON result, and has the linker call
//! the interpreter through `src/ending.rs`.

use std::process::Command;

/// Functions of the interpreter that `src/ending.rs` stands in front of.
const WRAPPED: &[&str] = &[
    "PyBuffer_Release",
    "PyDict_SetItem",
    "PyErr_CheckSignals",
    "PyErr_NormalizeException",
    "PyErr_PrintEx",
    "PyErr_Restore",
    "PyErr_SetObject",
    "PyErr_SetString",
    "PyErr_WarnEx",
    "PyErr_WriteUnraisable",
    "PyException_SetCause",
    "PyException_SetTraceback",
    "PyFloat_AsDouble",
    "PyImport_Import",
    "PyIter_Next",
    "PyLong_AsLong",
    "PyLong_AsUnsignedLongLong",
    "PyNumber_Index",
    "PyObject_Call",
    "PyObject_CallMethodObjArgs",
    "PyObject_CallNoArgs",
    "PyObject_DelItem",
    "PyObject_GetAttr",
    "PyObject_GetBuffer",
    "PyObject_GetItem",
    "PyObject_GetIter",
    "PyObject_IsTrue",
    "PyObject_Repr",
    "PyObject_RichCompare",
    "PyObject_SetAttr",
    "PyObject_SetAttrString",
    "PyObject_SetItem",
    "PyObject_Size",
    "PyObject_Str",
    "PySlice_Unpack",
    "PyTraceBack_Print",
    "PyUnicode_AsEncodedString",
    "_Py_DecRef",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let rustc = Command::new(var("RUSTC"))
        .arg("--version")
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    for name in WRAPPED {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap={name}");
    }
    println!("cargo::rustc-env=MMCORE_RUSTC={rustc}");
    println!("cargo::rustc-env=MMCORE_TARGET={}", var("TARGET"));
    println!("cargo::rustc-env=MMCORE_OPT_LEVEL={}", var("OPT_LEVEL"));
}
