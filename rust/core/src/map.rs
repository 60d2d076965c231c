//! Address spaces, page tables, reverse maps and the TLB.

mod area;
mod pte;
mod rmap;
mod tlb;

pub use area::{Area, AreaKind, EntryGuard};
pub use pte::{Entry, Pte};
pub use tlb::{Section, Tlb};
