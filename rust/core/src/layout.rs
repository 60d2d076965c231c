//! The layout of a node: the kind of each of its frames, as one letter.
//!
//! A layout is what the two scanners of a compaction look at, and nothing else decides where a
//! compaction through the node's `compact` file moves each page. The letters are those of the field
//! `layout` in recordings of real kernels, so that a recorded node and a node of a machine compare
//! letter by letter ([`Kind`] lists them).
//!
//! [`Machine::layout`](crate::machine::Machine::layout) reads the letters of a node.
//! [`Machine::arrange`](crate::machine::Machine::arrange) does the reverse: it puts a page of the
//! right kind into each frame of a fresh node. Reading an arranged node gives the same letters.
//!
//! # What can go wrong
//!
//! * A page is put into another frame than the one asked for, because an array of free frames still held
//!   frames of the node. The arrays are therefore emptied first, and each page's frame is checked.
//! * Pages of a batch are on no list yet, and have other letters than pages on a list. A node is therefore
//!   drained before the pages are added that are to stay in a batch.
//! * A frame is read while it changes hands. The layout of a machine at work is no snapshot: free frames are
//!   read under the node's lock, all others one by one without a lock.

mod arrange;
pub(crate) mod kind;
mod read;
mod runs;

pub use arrange::Arranged;
pub use kind::Kind;
pub use read::Layout;
pub use runs::runs;
