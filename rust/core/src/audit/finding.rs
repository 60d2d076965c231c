//! What an audit says of a broken rule.

use crate::page::Pfn;
use serde::{Serialize, Serializer};
use std::fmt;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, in a few words; the same text for every instance.
    pub rule: &'static str,
    /// The frame concerned, if any.
    #[serde(serialize_with = "frame_number")]
    pub pfn: Option<Pfn>,
    /// The state that breaks the rule, holders included.
    pub detail: String,
}

fn frame_number<S: Serializer>(pfn: &Option<Pfn>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    pfn.map(|pfn| pfn.0).serialize(serializer)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pfn {
            Some(pfn) => write!(f, "{}: page {pfn}: {}", self.rule, self.detail),
            None => write!(f, "{}: {}", self.rule, self.detail),
        }
    }
}
