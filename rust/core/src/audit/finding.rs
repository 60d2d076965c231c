//! A finding: one rule that an audit found broken, with the frame and the state that break the
//! rule.

use crate::page::Pfn;
use serde::{Serialize, Serializer};
use std::fmt;

/// A broken rule that an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, in a few words. All findings of a rule have the same text.
    pub rule: &'static str,
    /// The frame that breaks the rule; `None` if the rule is not about a frame.
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
