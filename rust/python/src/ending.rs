//! The end of the interpreter while other threads are still inside of calls.
//!
//! Before Python 3.14, a thread that attaches to an ending interpreter is ended by `pthread_exit`,
//! which unwinds its stack. PyO3 prevents this where PyO3 itself attaches. But a thread may also attach
//! in Python code that Rust has called: an owner's callback, or the creation of an exception. If the
//! unwinding reached Rust's frames, the process would abort. Therefore every interpreter function
//! that may run Python code is called through a wrapper in this file, and the wrapper stops the
//! unwinding. The linker puts the wrappers in place (`--wrap`, see the build script). The thread then
//! hangs until the process exits, as threads do since Python 3.14.
//!
//! A loop that waits for a hanging thread would hang as well, so such loops ask `has_begun`.

#![allow(unsafe_code, reason = "functions of the interpreter are called as they are declared there")]

use pyo3::ffi::{Py_buffer, Py_ssize_t, PyGILState_STATE, PyMethodDef, PyObject, PyType_Spec, PyTypeObject};
use pyo3::prelude::*;
use std::ffi::{c_char, c_double, c_int, c_long, c_ulonglong};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set when the interpreter begins to end.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// True if the interpreter has begun to end. From then on threads other than the main thread may hang.
pub(crate) fn has_begun() -> bool {
    // Relaxed: the flag orders no other memory, and waiting loops read it again.
    BEGUN.load(Ordering::Relaxed)
}

#[pyfunction]
fn _interpreter_ends() {
    BEGUN.store(true, Ordering::Relaxed);
}

/// Registers an `atexit` function that sets the flag.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let set_flag = wrap_pyfunction!(_interpreter_ends, module)?;
    module.py().import("atexit")?.call_method1("register", (set_flag,))?;
    Ok(())
}

/// Hangs the thread when it is dropped. Only unwinding drops it: a wrapper that returns forgets it.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

type Object = *mut PyObject;

macro_rules! wrapped {
    ($($wrap:ident, $real:ident($($name:ident: $type:ty),*) $(-> $returns:ty)?;)*) => {
        // `C-unwind`: these functions may unwind, and `Hang` is dropped when they do.
        unsafe extern "C-unwind" {
            $(fn $real($($name: $type),*) $(-> $returns)?;)*
        }
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $wrap($($name: $type),*) $(-> $returns)? {
                let hang = Hang;
                // SAFETY: the wrapper passes its caller's arguments on unchanged, and the caller
                // keeps to the contract of the function that it meant to call.
                let returned = unsafe { $real($($name),*) };
                std::mem::forget(hang);
                returned
            }
        )*
    };
}

// The functions that may run Python code: calls, attributes, conversions, iteration, creating and
// reporting exceptions, codecs, signal handlers, and deallocation. A function that makes an object with
// cycle collection is one, too: before Python 3.12 it may run the collector, and so finalisers. The build
// script reads the names from here, and `tests/test_interpreter_end.py` compares them with the functions
// that are imported.
wrapped! {
    __wrap_PyBuffer_Release, __real_PyBuffer_Release(view: *mut Py_buffer);
    __wrap_PyCMethod_New,
        __real_PyCMethod_New(
            method: *mut PyMethodDef, of: Object, module: Object, class: *mut PyTypeObject
        ) -> Object;
    __wrap_PyDict_New, __real_PyDict_New() -> Object;
    __wrap_PyDict_SetItem, __real_PyDict_SetItem(dict: Object, key: Object, value: Object) -> c_int;
    __wrap_PyErr_CheckSignals, __real_PyErr_CheckSignals() -> c_int;
    __wrap_PyErr_Clear, __real_PyErr_Clear();
    __wrap_PyErr_NewExceptionWithDoc,
        __real_PyErr_NewExceptionWithDoc(
            name: *const c_char, text: *const c_char, base: Object, dict: Object
        ) -> Object;
    __wrap_PyErr_NormalizeException,
        __real_PyErr_NormalizeException(a: *mut Object, b: *mut Object, c: *mut Object);
    __wrap_PyErr_PrintEx, __real_PyErr_PrintEx(set: c_int);
    __wrap_PyErr_Restore, __real_PyErr_Restore(class: Object, value: Object, traceback: Object);
    __wrap_PyErr_SetObject, __real_PyErr_SetObject(class: Object, value: Object);
    __wrap_PyErr_SetString, __real_PyErr_SetString(class: Object, text: *const c_char);
    __wrap_PyErr_WarnEx,
        __real_PyErr_WarnEx(category: Object, text: *const c_char, level: Py_ssize_t) -> c_int;
    __wrap_PyErr_WriteUnraisable, __real_PyErr_WriteUnraisable(object: Object);
    __wrap_PyException_SetCause, __real_PyException_SetCause(object: Object, cause: Object);
    __wrap_PyException_SetTraceback,
        __real_PyException_SetTraceback(object: Object, traceback: Object) -> c_int;
    __wrap_PyFloat_AsDouble, __real_PyFloat_AsDouble(object: Object) -> c_double;
    __wrap_PyGILState_Release, __real_PyGILState_Release(state: PyGILState_STATE);
    __wrap_PyImport_Import, __real_PyImport_Import(name: Object) -> Object;
    __wrap_PyIter_Next, __real_PyIter_Next(iterator: Object) -> Object;
    __wrap_PyList_New, __real_PyList_New(len: Py_ssize_t) -> Object;
    __wrap_PyLong_AsLong, __real_PyLong_AsLong(object: Object) -> c_long;
    __wrap_PyLong_AsUnsignedLongLong, __real_PyLong_AsUnsignedLongLong(object: Object) -> c_ulonglong;
    __wrap_PyNumber_Index, __real_PyNumber_Index(object: Object) -> Object;
    __wrap_PyObject_Call, __real_PyObject_Call(callable: Object, arguments: Object, named: Object) -> Object;
    __wrap_PyObject_CallNoArgs, __real_PyObject_CallNoArgs(callable: Object) -> Object;
    __wrap_PyObject_ClearWeakRefs, __real_PyObject_ClearWeakRefs(object: Object);
    __wrap_PyObject_DelItem, __real_PyObject_DelItem(object: Object, key: Object) -> c_int;
    __wrap_PyObject_GetAttr, __real_PyObject_GetAttr(object: Object, name: Object) -> Object;
    __wrap_PyObject_GetBuffer,
        __real_PyObject_GetBuffer(object: Object, view: *mut Py_buffer, flags: c_int) -> c_int;
    __wrap_PyObject_GetItem, __real_PyObject_GetItem(object: Object, key: Object) -> Object;
    __wrap_PyObject_GetIter, __real_PyObject_GetIter(object: Object) -> Object;
    __wrap_PyObject_IsTrue, __real_PyObject_IsTrue(object: Object) -> c_int;
    __wrap_PyObject_Repr, __real_PyObject_Repr(object: Object) -> Object;
    __wrap_PyObject_RichCompare, __real_PyObject_RichCompare(a: Object, b: Object, how: c_int) -> Object;
    __wrap_PyObject_SetAttr, __real_PyObject_SetAttr(object: Object, name: Object, value: Object) -> c_int;
    __wrap_PyObject_SetAttrString,
        __real_PyObject_SetAttrString(object: Object, name: *const c_char, value: Object) -> c_int;
    __wrap_PyObject_SetItem, __real_PyObject_SetItem(object: Object, key: Object, value: Object) -> c_int;
    __wrap_PyObject_Size, __real_PyObject_Size(object: Object) -> Py_ssize_t;
    __wrap_PyObject_Str, __real_PyObject_Str(object: Object) -> Object;
    __wrap_PySlice_Unpack,
        __real_PySlice_Unpack(
            slice: Object, a: *mut Py_ssize_t, b: *mut Py_ssize_t, c: *mut Py_ssize_t
        ) -> c_int;
    __wrap_PyTraceBack_Print, __real_PyTraceBack_Print(traceback: Object, file: Object) -> c_int;
    __wrap_PyTuple_New, __real_PyTuple_New(len: Py_ssize_t) -> Object;
    __wrap_PyType_FromSpec, __real_PyType_FromSpec(spec: *mut PyType_Spec) -> Object;
    __wrap_PyUnicode_AsEncodedString,
        __real_PyUnicode_AsEncodedString(
            text: Object, encoding: *const c_char, errors: *const c_char
        ) -> Object;
    __wrap_PyUnicode_AsUTF8AndSize,
        __real_PyUnicode_AsUTF8AndSize(text: Object, size: *mut Py_ssize_t) -> *const c_char;
    __wrap_PyWeakref_NewRef, __real_PyWeakref_NewRef(object: Object, callback: Object) -> Object;
    __wrap__Py_DecRef, __real__Py_DecRef(object: Object);
}

unsafe extern "C-unwind" {
    fn __real_PyObject_CallMethodObjArgs(object: Object, name: Object, ...) -> Object;
}

/// The function is variadic, and a null ends its arguments. PyO3 calls it only for methods without arguments,
/// so the null is the first one.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_PyObject_CallMethodObjArgs(object: Object, name: Object, end: Object) -> Object {
    assert!(end.is_null(), "the arguments of a method would be lost");
    let hang = Hang;
    // SAFETY: as in `wrapped!`; the null ends the list of arguments at once.
    let returned = unsafe { __real_PyObject_CallMethodObjArgs(object, name, end) };
    std::mem::forget(hang);
    returned
}
