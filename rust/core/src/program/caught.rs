//! Panics of the core, caught: a broken rule is a result here, not noise on the terminal.

use crate::audit::Finding;
use crate::sync::{broken_rule, is_stop};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

thread_local! {
    /// A panic of this thread is somebody's result.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

static INSTALL: Once = Once::new();

/// What stopped the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    pub rule: &'static str,
    pub detail: String,
}

/// The rule of a panic that names none.
const PANIC: &str = "panic";

/// Runs `f` and catches its panic, silently.
pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Stopped> {
    INSTALL.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                others(info);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    broken_rule();
    let result = catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(before);
    result.map_err(|payload| {
        if is_stop(&*payload) {
            // For who told the thread to stop.
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

/// The same; what stopped the core as a finding.
pub(super) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, Finding> {
    caught(f).map_err(|stopped| Finding { rule: stopped.rule, pfn: None, detail: stopped.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_rule_is_told_from_any_other_panic() {
        let stopped = caught(|| crate::sync::broken("the rule", format_args!("page {}", 7))).unwrap_err();
        assert_eq!((stopped.rule, stopped.detail.as_str()), ("the rule", "page 7"));
        let stopped = caught(|| panic!("oops")).unwrap_err();
        assert_eq!((stopped.rule, stopped.detail.as_str()), (PANIC, "oops"));
        assert_eq!(caught(|| 3), Ok(3));
    }
}
