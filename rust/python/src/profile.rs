//! `Profile`: the kernel that a machine behaves like.

use crate::errors::{input, type_error};
use crate::state;
use mmcore::profile::{PRESETS, Profile as Choices};
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyIterator, PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Profile>()
}

/// The behaviour of one kernel version: a mapping from the names of fields to their values. The values
/// are those of a preset, except for fields that are given by name. Profiles are compared, hashed, copied and
/// pickled by value.
///
/// Args:
///     kernel: the preset, one of `PRESETS`; 6.12 by default.
///     fields: values of fields, by name.
///
/// Raises:
///     InputError: if there is no such preset, field or value.
///     TypeError: if a value is no str, int or bool.
#[pyclass(frozen, mapping, eq, module = "mmcore")]
#[derive(Clone, PartialEq)]
pub(crate) struct Profile(pub Choices);

impl Profile {
    /// Returns the choices with the given fields replaced.
    pub fn with_fields(mut choices: Choices, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Choices> {
        let Some(fields) = fields else { return Ok(choices) };
        for (field, value) in fields {
            let field: String = field.extract()?;
            let value = match value.cast::<PyBool>() {
                Ok(value) => value.is_true().to_string(),
                Err(_)
                    if value.is_instance_of::<PyString>() || value.is_instance_of::<pyo3::types::PyInt>() =>
                {
                    value.str()?.to_string()
                }
                Err(_) => {
                    return Err(type_error(format!("{field} must be a str, an int or a bool, not {value}")));
                }
            };
            choices.set(&field, &value).map_err(input)?;
        }
        Ok(choices)
    }

    /// Returns the choices of a preset, of a whole profile, or of a preset with fields by name over it.
    pub fn chosen(kernel: Option<&str>, profile: Option<&Bound<'_, PyAny>>) -> PyResult<Choices> {
        let Some(profile) = profile else { return Profile::preset(kernel) };
        if let Ok(whole) = profile.cast::<Profile>() {
            return match kernel {
                None => Ok(whole.get().0.clone()),
                Some(_) => Err(type_error("give a kernel or a whole profile, not both")),
            };
        }
        // `dict` takes any mapping.
        let py = profile.py();
        let fields = py.get_type::<PyDict>().call1((profile,)).map_err(|error| {
            let is_wrong =
                error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py);
            match profile.repr() {
                Ok(given) if is_wrong => type_error(format!(
                    "profile must be a Profile or fields by name, not {given}: choose a preset with kernel"
                )),
                _ => error,
            }
        })?;
        Profile::with_fields(Profile::preset(kernel)?, Some(fields.cast::<PyDict>()?))
    }

    pub fn preset(kernel: Option<&str>) -> PyResult<Choices> {
        kernel.map_or_else(|| Ok(Choices::default()), Choices::preset).map_err(input)
    }

    /// A field's value as a Python object: an int, a bool or a str.
    fn value<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PyAny>> {
        let text = self.0.get(field).map_err(|_| PyKeyError::new_err(field.to_owned()))?;
        Ok(match (text.as_str(), text.parse::<i64>()) {
            ("true", _) => PyBool::new(py, true).to_owned().into_any(),
            ("false", _) => PyBool::new(py, false).to_owned().into_any(),
            (_, Ok(number)) => number.into_pyobject(py)?.into_any(),
            _ => text.into_pyobject(py)?.into_any(),
        })
    }
}

#[pymethods]
impl Profile {
    /// The kernels that have a preset, oldest first.
    #[classattr]
    #[pyo3(name = "PRESETS")]
    fn presets(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, PRESETS)
    }

    #[new]
    #[pyo3(signature = (*, kernel=None, **fields))]
    fn new(kernel: Option<&str>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Profile> {
        Profile::with_fields(Profile::preset(kernel)?, fields).map(Profile)
    }

    /// Returns a copy with other values of some fields.
    ///
    /// Raises:
    ///     InputError: if there is no such field or value.
    ///     TypeError: if a value is no str, int or bool.
    #[pyo3(signature = (**fields))]
    fn replace(&self, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Profile> {
        Profile::with_fields(self.0.clone(), fields).map(Profile)
    }

    /// Describes a field: its meaning and the source of its values, as a `FieldText`.
    ///
    /// Args:
    ///     field: the name of the field, as in `fields`.
    ///
    /// Raises:
    ///     KeyError: if there is no such field.
    #[staticmethod]
    fn describe<'py>(py: Python<'py>, field: &str) -> PyResult<Bound<'py, PyAny>> {
        let text = Choices::describe(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))?;
        state::named(py, "FieldText", (text.0.trim(), text.1))
    }

    /// Describes the values that a field accepts, in one line.
    ///
    /// Args:
    ///     field: the name of the field, as in `fields`.
    ///
    /// Raises:
    ///     KeyError: if there is no such field.
    #[staticmethod]
    fn accepts(field: &str) -> PyResult<String> {
        Choices::accepts(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))
    }

    /// The names of all fields, in the order of the documentation.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, Choices::FIELDS)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, field: &str) -> PyResult<Bound<'py, PyAny>> {
        self.value(py, field)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys(py)?.try_iter()
    }

    fn __len__(&self) -> usize {
        Choices::FIELDS.len()
    }

    fn __contains__(&self, field: &Bound<'_, PyAny>) -> bool {
        field.extract::<&str>().is_ok_and(|field| Choices::FIELDS.contains(&field))
    }

    /// Equal profiles have equal hashes.
    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    /// The arguments that make an equal profile, for `pickle` and `copy`. They name every field, so that
    /// stored profiles stay the same when a later version changes a preset.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let fields = PyDict::new(py);
        for field in Choices::FIELDS {
            fields.set_item(field, self.value(py, field)?)?;
        }
        Ok((PyTuple::empty(py), fields))
    }

    fn __repr__(&self) -> PyResult<String> {
        let fields: Vec<String> = Choices::FIELDS
            .iter()
            .map(|field| self.0.get(field).map(|value| format!("{field}={value}")).map_err(input))
            .collect::<PyResult<_>>()?;
        Ok(format!("<Profile {}>", fields.join(" ")))
    }
}
