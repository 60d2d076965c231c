//! Catches panics of the core: a broken rule becomes a result, and nothing is printed.

use crate::audit::Finding;
use crate::sync::{broken_rule, is_stop};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

thread_local! {
    /// True while `caught` runs on this thread and handles its panics.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

static INSTALL: Once = Once::new();

/// The rule and the message of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    pub rule: &'static str,
    pub detail: String,
}

/// The rule of a panic that is no broken rule.
const PANIC: &str = "panic";

/// Runs `f` and catches its panic without printing it.
pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Stopped> {
    INSTALL.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                former(info);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    broken_rule();
    let result = catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(before);
    result.map_err(|payload| {
        if is_stop(&*payload) {
            // `stoppable`, further up the stack, catches the stop.
            resume_unwind(payload);
        }
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        match broken_rule() {
            Some(rule) => {
                let detail = text.strip_prefix(rule).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
                Stopped { rule, detail: detail.to_owned() }
            }
            None => Stopped { rule: PANIC, detail: text.to_owned() },
        }
    })
}

/// Like [`caught`], but returns the panic as a finding.
pub(super) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, Finding> {
    caught(f).map_err(|stopped| Finding { rule: stopped.rule, pfn: None, detail: stopped.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_rule_is_distinguished_from_other_panics() {
        let stopped = caught(|| crate::sync::broken("the rule", format_args!("page {}", 7))).unwrap_err();
        assert_eq!((stopped.rule, stopped.detail.as_str()), ("the rule", "page 7"));
        let stopped = caught(|| panic!("oops")).unwrap_err();
        assert_eq!((stopped.rule, stopped.detail.as_str()), (PANIC, "oops"));
        assert_eq!(caught(|| 3), Ok(3));
    }
}
