//! Panics within an exploration are results, not noise.

use super::context::context;
use std::sync::Once;

static INSTALL: Once = Once::new();

/// Puts a hook in front of the process' panic hook that keeps the text of a panic within an
/// exploration for its verdict, and passes every other panic on.
pub(super) fn quieten() {
    INSTALL.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match context() {
            None => others(info),
            Some(context) => {
                let payload = info.payload();
                let text = payload
                    .downcast_ref::<&str>()
                    .copied()
                    .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                    .unwrap_or("a payload that is no text");
                let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
                context.note_panic(format!("{text}{}", place.unwrap_or_default()));
            }
        }));
    });
}
