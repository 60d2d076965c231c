//! `Profile`: which kernel a machine is.

use crate::errors::{input, type_error};
use mmcore::profile::{PRESETS, Profile as Choices};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyIterator, PyString, PyTuple};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Profile>()
}

/// Which kernel a machine is: a mapping of named choices. Starts from the preset of a kernel; fields
/// given by name are set over it.
#[pyclass(frozen, mapping, eq, module = "mmcore")]
#[derive(Clone, PartialEq)]
pub(crate) struct Profile(pub Choices);

impl Profile {
    /// Sets fields from keyword arguments.
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

    pub fn preset(kernel: Option<&str>) -> PyResult<Choices> {
        kernel.map_or_else(|| Ok(Choices::default()), Choices::preset).map_err(input)
    }

    /// A value as Python has it: numbers and truth values are not strings.
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
    /// Kernels with a preset, oldest first.
    #[classattr]
    const PRESETS: &'static [&'static str] = PRESETS;

    #[new]
    #[pyo3(signature = (*, kernel=None, **fields))]
    fn new(kernel: Option<&str>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Profile> {
        Profile::with_fields(Profile::preset(kernel)?, fields).map(Profile)
    }

    /// The same profile with some fields set.
    #[pyo3(signature = (**fields))]
    fn replace(&self, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Profile> {
        Profile::with_fields(self.0.clone(), fields).map(Profile)
    }

    /// What a field means and where its values come from.
    #[staticmethod]
    fn describe(field: &str) -> PyResult<(&'static str, &'static str)> {
        Choices::describe(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))
    }

    /// What a field accepts.
    #[staticmethod]
    fn accepts(field: &str) -> PyResult<String> {
        Choices::accepts(field).ok_or_else(|| PyKeyError::new_err(field.to_owned()))
    }

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

    fn __repr__(&self) -> PyResult<String> {
        let fields: Vec<String> = Choices::FIELDS
            .iter()
            .map(|field| self.0.get(field).map(|value| format!("{field}={value}")).map_err(input))
            .collect::<PyResult<_>>()?;
        Ok(format!("<Profile {}>", fields.join(" ")))
    }
}
