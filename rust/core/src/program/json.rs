//! Programs as JSON, for tools that do not read the language.

use serde::Serialize;
use serde_json::Value;

use super::{Program, parse};

/// The version of the export, which changes only when a reader of the old version would misread the
/// new one.
pub const SCHEMA: u64 = 1;

/// The error for JSON that is no program; the message is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

#[derive(Serialize)]
struct Document<'a> {
    schema: u64,
    #[serde(flatten)]
    program: &'a Program,
}

impl Program {
    /// Returns the program as one JSON object with `"schema": 1`.
    pub fn to_json(&self) -> String {
        // Serialising can fail only for maps without string keys and for failing writers: there are
        // none.
        serde_json::to_string(&Document { schema: SCHEMA, program: self }).unwrap_or_default()
    }

    /// Reads the output of [`Program::to_json`]. Values that no text can express are refused.
    pub fn from_json(json: &str) -> Result<Program, JsonError> {
        let wrong =
            |error: serde_json::Error| JsonError(one_line(&format!("not a program in JSON: {error}")));
        let mut value: Value = serde_json::from_str(json).map_err(wrong)?;
        let schema = value.as_object_mut().and_then(|object| object.remove("schema"));
        if schema.as_ref().and_then(Value::as_u64) != Some(SCHEMA) {
            return Err(JsonError(format!("not a program in JSON: \"schema\" must be {SCHEMA}")));
        }
        let program: Program = serde_json::from_value(value).map_err(wrong)?;
        // JSON must not express a program that the parser would refuse.
        match parse(&program.to_string()) {
            Ok(read) if read == program => Ok(program),
            Ok(_) => {
                Err(JsonError("not a program in JSON: a value changes when it is read back from text".into()))
            }
            Err(error) => Err(JsonError(format!("not a program: printed as text, {error}"))),
        }
    }
}

/// Escapes control characters: messages about JSON quote its strings unchanged, including line
/// ends.
fn one_line(message: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    message.chars().map(escape).collect()
}
