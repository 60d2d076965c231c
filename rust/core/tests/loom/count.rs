//! The reference count: what a new holder sees, what the last one sees, and what a freeze sees.

use crate::{PFN, join, models, start};
use mmcore::page::{Dropped, Flags, Page};
use mmcore::sync::PlainU64;
use std::sync::Arc;

/// A record with something behind it that only the protocol protects.
#[derive(Default)]
struct Frame {
    page: Page,
    content: PlainU64,
}

impl Frame {
    /// One life: what is published together.
    fn write(&self, life: u32) {
        self.content.set(u64::from(life));
        self.page.set_owner(life, 10 + life);
    }

    /// A holder's look: everything is of the same life.
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
            // Freed and reused: nobody else may still be looking.
            self.content.set(0);
        }
    }
}

/// Gives the page another life, if nobody else holds it.
fn relive(frame: &Frame, freeze: impl Fn(&Page, u32) -> Result<(), u32>) {
    if freeze(&frame.page, 1).is_ok() {
        frame.write(2);
        frame.page.unfreeze(PFN, 1);
    }
}

models! {
    /// A walker gets a reference to a page that is just being handed out.
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

    /// A walker against a freeze that changes what the page is.
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

    /// The same with a pin.
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

    /// The same with the freeze that compares lock and count at once.
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

    /// Each holder did something to the page; whoever is last frees it.
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

    /// A holder wrote and let go; whoever freezes afterwards sees what it wrote.
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

    /// The same where the count alone decides and nothing is frozen: a page without a file behind it.
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

    /// Two gets against a put: no reference is lost or made up.
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

    /// Poison comes without a reference: it is seen at the hand-out or stays for the free path.
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
