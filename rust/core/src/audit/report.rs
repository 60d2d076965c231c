//! The findings of the rules so far, each with the holders of its page.

use super::census::Census;
use super::finding::Finding;
use crate::page::Pfn;

pub(super) struct Report<'a> {
    pub(super) census: &'a Census,
    pub(super) findings: Vec<Finding>,
}

impl Report<'_> {
    pub(super) fn page(&mut self, rule: &'static str, pfn: Pfn, what: String) {
        let holders: Vec<String> = self.census.holders(pfn).iter().map(ToString::to_string).collect();
        let detail = match holders.is_empty() {
            true => format!("{what}; no holders"),
            false => format!("{what}; holders: {}", holders.join(", ")),
        };
        self.findings.push(Finding { rule, pfn: Some(pfn), detail });
    }

    pub(super) fn machine(&mut self, rule: &'static str, what: String) {
        self.findings.push(Finding { rule, pfn: None, detail: what });
    }
}
