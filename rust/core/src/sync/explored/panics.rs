//! Panics within an exploration are results, not noise; nor are those of the set-up before it.

use super::context::context;
use super::violation::{Violation, rule};
use std::any::Any;
use std::cell::Cell;
use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

static INSTALL: Once = Once::new();

thread_local! {
    /// Somebody waits for this OS thread's panics, outside of any schedule.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Puts a hook in front of the process' panic hook that keeps the text of a panic within an
/// exploration for its verdict, is silent where somebody catches it, and passes every other panic on.
pub(super) fn quieten() {
    INSTALL.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match context() {
            None if CAUGHT.get() => {}
            None => others(info),
            Some(context) => {
                let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
                context.note_panic(format!("{}{}", text_of(info.payload()), place.unwrap_or_default()));
            }
        }));
    });
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text")
}

/// Runs `f` outside of any schedule; a broken rule or a panic is its result.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Violation> {
    quieten();
    let before = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    CAUGHT.set(before);
    result.map_err(|payload| match payload.downcast::<Violation>() {
        Ok(violation) => *violation,
        Err(payload) => Violation::new(rule::PANIC, text_of(&*payload)),
    })
}

/// A rule is broken outside of any schedule.
#[cold]
pub(super) fn broken_outside(rule: &'static str, detail: Arguments<'_>) -> ! {
    match CAUGHT.get() {
        true => resume_unwind(Box::new(Violation::new(rule, detail.to_string()))),
        false => panic!("{rule}: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::broken;

    #[test]
    fn what_a_set_up_breaks_is_a_result() {
        let violation = caught(|| broken("the rule", format_args!("page {}", 7))).unwrap_err();
        assert_eq!(violation, Violation::new("the rule", "page 7"));
        assert_eq!(caught(|| panic!("oops")).unwrap_err(), Violation::new(rule::PANIC, "oops"));
        assert_eq!(caught(|| 3), Ok(3));
    }
}
