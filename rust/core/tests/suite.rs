//! The integration tests of the core, as one program: a program for each file would compile the core's
//! generic code once for each of them. A file whose tests look at the whole process is a program of its own.

#[macro_use]
mod common;

mod address_space_model;
mod address_space_threads;
mod balloon;
mod call_storm;
mod compact;
mod failure;
mod faults;
mod hotplug;
mod layout;
mod load_blocks;
mod load_storm;
mod load_tiering;
mod longterm_pin;
mod migrate_failures;
mod migrate_modes;
mod movable;
mod movable_kernels;
mod move_pages;
mod old_kernels;
mod pressure;
mod program_text;
mod reclaim;
mod session;
mod slow_path;
mod zsmalloc;
