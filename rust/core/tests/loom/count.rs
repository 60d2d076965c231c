//! The reference count: which stores of other threads a new holder, the last holder and a freeze
//! must see.

use crate::{PFN, join, models, start};
use mmcore::page::{Dropped, Flags, Page};
use mmcore::sync::PlainU64;
use std::sync::Arc;

/// A page record with content that only the protocol protects.
#[derive(Default)]
struct Frame {
    page: Page,
    content: PlainU64,
}

impl Frame {
    /// Writes content, owner and index of one life of the page, which are published together.
    fn write(&self, life: u32) {
        self.content.set(u64::from(life));
        self.page.set_owner(life, 10 + life);
    }

    /// Checks, as a holder, that content, owner and index are of the same life.
    fn check(&self) {
        let life = self.page.owner();
        assert_eq!(self.page.index(), 10 + life, "index of another life");
        assert_eq!(self.content.get(), u64::from(life), "content of another life");
        assert_ne!(life, 0, "a reference to something not yet published");
    }

    fn live(life: u32) -> Arc<Frame> {
        let frame = Frame::default();
        frame.write(life);
        frame.page.hand_out(PFN, Flags::empty()).expect("not poisoned");
        Arc::new(frame)
    }

    fn put(&self) {
        if self.page.drop_refs(PFN, 1) != Dropped::Live {
            // The frame is free and is used anew; no other holder may still read it.
            self.content.set(0);
        }
    }
}

/// Gives the page another life if a freeze succeeds.
fn relive(frame: &Frame, freeze: impl Fn(&Page, u32) -> Result<(), u32>) {
    if freeze(&frame.page, 1).is_ok() {
        frame.write(2);
        frame.page.unfreeze(PFN, 1);
    }
}

models! {
    /// A walker takes a reference while the page is handed out.
    publish_at_hand_out(None) {
        let frame = Arc::new(Frame::default());
        let walker = start(&frame, |frame| {
            if frame.page.try_get() {
                frame.check();
                frame.put();
            }
        });
        frame.write(1);
        frame.page.hand_out(PFN, Flags::empty()).expect("not poisoned");
        frame.put();
        join([walker]);
    }

    /// A walker takes a reference while a freeze changes owner and content of the page.
    publish_at_unfreeze(None) {
        let frame = Frame::live(1);
        let walker = start(&frame, |frame| {
            if frame.page.try_get() {
                frame.check();
                frame.put();
            }
        });
        relive(&frame, Page::freeze);
        join([walker]);
    }

    /// A pin instead of the walker's reference.
    publish_to_a_pin(None) {
        let frame = Frame::live(1);
        let walker = start(&frame, |frame| {
            if frame.page.try_add(PFN, 1).is_ok() {
                frame.check();
                frame.put();
            }
        });
        relive(&frame, Page::freeze);
        join([walker]);
    }

    /// The walker against the freeze that compares lock and count at once.
    publish_at_unfreeze_packed(None) {
        let frame = Frame::live(1);
        assert!(frame.page.trylock());
        let walker = start(&frame, |frame| {
            if frame.page.try_get() {
                frame.check();
                frame.put();
            }
        });
        relive(&frame, Page::freeze_locked);
        join([walker]);
    }

    /// Each holder writes to the page and puts it; the last one frees it and must see all writes.
    last_put(None) {
        let frame = Frame::live(1);
        frame.page.get(PFN);
        let other = start(&frame, |frame| {
            frame.check();
            frame.put();
        });
        frame.check();
        frame.put();
        join([other]);
    }

    /// A holder writes and puts; a freeze afterwards must see the write.
    freeze_after_a_writer(None) {
        let frame = Frame::live(1);
        frame.page.get(PFN);
        let writer = start(&frame, |frame| {
            frame.content.set(7);
            frame.page.set(Flags::DIRTY);
            assert_eq!(frame.page.drop_refs(PFN, 1), Dropped::Live);
        });
        if frame.page.freeze(1).is_ok() {
            assert!(frame.page.flags().contains(Flags::DIRTY), "a store without its dirty bit");
            assert_eq!(frame.content.get(), 7);
        }
        join([writer]);
    }

    /// As before, but the other thread only reads a count of one and freezes nothing, as for a page
    /// without a file.
    count_of_one_after_a_writer(None) {
        let frame = Frame::live(1);
        frame.page.get(PFN);
        let writer = start(&frame, |frame| {
            frame.content.set(7);
            assert_eq!(frame.page.drop_refs(PFN, 1), Dropped::Live);
        });
        if frame.page.count() == 1 {
            assert_eq!(frame.content.get(), 7);
        }
        join([writer]);
    }

    /// Two gets against a put: the count is right afterwards.
    gets_and_puts(None) {
        let frame = Frame::live(1);
        frame.page.get(PFN);
        let other = start(&frame, |frame| {
            frame.page.get(PFN);
            frame.put();
            frame.put();
        });
        frame.page.get(PFN);
        frame.put();
        join([other]);
        assert_eq!(frame.page.count(), 1);
    }

    /// Poison is set without a reference: the hand-out sees it, or it stays for the free path.
    poison_against_hand_out(None) {
        let frame = Arc::new(Frame::default());
        let poisoner = start(&frame, |frame| {
            frame.page.set(Flags::HWPOISON);
        });
        let handed_out = frame.page.hand_out(PFN, Flags::empty()).is_some();
        join([poisoner]);
        assert!(frame.page.flags().contains(Flags::HWPOISON), "a lost mark");
        assert_eq!(frame.page.count(), u32::from(handed_out));
    }
}
