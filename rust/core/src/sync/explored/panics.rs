//! Panics within an exploration, or in the set-up before it, become results and print nothing.

use super::context::context;
use super::violation::{Violation, rule};
use std::any::Any;
use std::cell::Cell;
use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

static INSTALL: Once = Once::new();

thread_local! {
    /// True while `caught` runs on this OS thread, outside of any schedule.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Installs a panic hook in front of the process's own. Within an exploration the hook keeps the
/// panic's text for the verdict. Under [`caught`] the hook prints nothing. All other panics go to
/// the former hook.
pub(super) fn quieten() {
    INSTALL.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match context() {
            None if CAUGHT.get() => {}
            None => former(info),
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

/// Runs `f` outside of any schedule, and returns a broken rule or a panic as an error.
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

/// Reports a broken rule outside of any schedule.
#[cold]
fn broken_outside(rule: &'static str, detail: Arguments<'_>) -> ! {
    match CAUGHT.get() {
        true => resume_unwind(Box::new(Violation::new(rule, detail.to_string()))),
        false => panic!("{rule}: {detail}"),
    }
}

/// Ends the schedule with a broken rule of the protocol as its result.
#[cold]
#[inline(never)]
pub fn broken(rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
    match context() {
        Some(context) => context.fail(rule, detail),
        None => broken_outside(rule, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::broken;

    #[test]
    fn a_rule_broken_in_a_set_up_is_a_result() {
        let violation = caught(|| broken("the rule", format_args!("page {}", 7))).unwrap_err();
        assert_eq!(violation, Violation::new("the rule", "page 7"));
        assert_eq!(caught(|| panic!("oops")).unwrap_err(), Violation::new(rule::PANIC, "oops"));
        assert_eq!(caught(|| 3), Ok(3));
    }
}
