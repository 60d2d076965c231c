//! The table of operations as data, for documentation, random programs and tools.

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::word::Syntax;

/// The place of an argument in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// After the first word, in the order of the arguments.
    Positional,
    /// As `name=value`, anywhere after the positional words.
    Key,
    /// As any number of different words, anywhere after the positional words.
    Options,
}

/// An argument of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ArgSpec {
    /// The field of the [`Op`](super::Op) and of its JSON.
    pub name: &'static str,
    /// The place of the argument in the line.
    pub place: Place,
    /// True if the argument is required.
    pub required: bool,
    /// The syntax of the argument.
    pub syntax: Syntax,
}

impl ArgSpec {
    fn usage(&self) -> String {
        let shown = self.syntax.placeholder(self.name);
        match (self.place, self.required) {
            (Place::Positional, true) => format!(" {shown}"),
            (Place::Positional, false) => format!(" [{shown}]"),
            (Place::Key, true) => format!(" {}={}", self.name, self.syntax.placeholder("K")),
            (Place::Key, false) => format!(" [{}={}]", self.name, self.syntax.placeholder("K")),
            (Place::Options, _) => format!(" [{}]", shown.replace('|', "] [")),
        }
    }
}

/// An operation of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpSpec {
    /// The variant of [`Op`](super::Op).
    pub variant: &'static str,
    /// The first word of the line.
    pub word: &'static str,
    /// The arguments, in the order in which they are printed.
    pub args: &'static [ArgSpec],
    pub(super) kind: Kind,
    pub(super) doc: &'static [&'static str],
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A process can perform the operation, so a real kernel can run it too.
    System,
    /// Only code inside the kernel can perform the operation.
    Step,
}

impl OpSpec {
    /// Returns the value of `"op"` in JSON: the first word, except for words that have two
    /// meanings.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for c in self.variant.chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// Returns the usage line.
    pub fn usage(&self) -> String {
        std::iter::once(self.word.to_owned()).chain(self.args.iter().map(ArgSpec::usage)).collect()
    }

    /// Returns true if a process can perform the operation: see
    /// [`Op::is_system_call`](super::Op::is_system_call).
    pub fn is_system_call(&self) -> bool {
        self.kind == Kind::System
    }

    /// Returns the description.
    pub fn doc(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// Serialises the computed fields together with the stored ones.
impl Serialize for OpSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("OpSpec", 6)?;
        object.serialize_field("op", &self.name())?;
        object.serialize_field("word", self.word)?;
        object.serialize_field("usage", &self.usage())?;
        object.serialize_field("system_call", &self.is_system_call())?;
        object.serialize_field("doc", &self.doc())?;
        object.serialize_field("args", self.args)?;
        object.end()
    }
}
