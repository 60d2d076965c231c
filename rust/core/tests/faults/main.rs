//! Every fault at every site: an operation fails and everything is as it was, or it has been done.
//!
//! | file | idea |
//! |---|---|
//! | `scene` | a machine with pages of one kind; what must hold of it after a fault |
//! | `walk` | one operation after the other, with the fault at site 0, 1, 2 and so on |
//! | `migration` | every kind of page, mode, order and release design |
//! | `calls` | faults, fork, reclaim, swap, memory failure, splits, advice, policies, files |
//! | `plan` | what a plan counts and leaves |
//! | `sleepers` | threads that sleep on a page while others wake them for nothing |

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod migration;
mod plan;
mod scene;
mod sleepers;
mod walk;
