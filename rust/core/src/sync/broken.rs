//! In the builds with real threads, a broken rule of the protocol is a panic. The rule is kept for the code
//! that catches the panic.

/// Panics because a rule of the protocol is broken. To go on would spread the damage.
#[cold]
#[inline(never)]
pub fn broken(rule: &'static str, detail: std::fmt::Arguments<'_>) -> ! {
    BROKEN.set(Some(rule));
    panic!("{rule}: {detail}")
}

thread_local! {
    static BROKEN: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Takes the rule that the calling thread last broke, for the code that catches its panic.
pub fn broken_rule() -> Option<&'static str> {
    BROKEN.take()
}
