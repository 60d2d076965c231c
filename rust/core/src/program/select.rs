//! Names of the things that a program makes, and selections of their pages.
//!
//! A name is a letter and a number. A selection is a name alone, which means all pages, or a name
//! with a list of pages or of frames. Types decide which names are allowed where: a child writes to a
//! `Sel<Region>`, `move_pages(2)` takes a `Sum<Address>`, a single step a `Sum<Owner>`.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::word::{NotThis, Syntax, Thing, Word, quote, serde_by_text};

/// Defines names: a letter and a number.
macro_rules! names {
    ($( $(#[$meta:meta])* $name:ident = $letter:literal; )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl Word for $name {
            const SYNTAX: Syntax = Syntax::Name($letter);

            fn names(&self, visit: &mut dyn FnMut(Thing)) {
                visit((*self).into());
            }
        }

        impl From<$name> for Thing {
            fn from(name: $name) -> Thing {
                Thing { letter: $letter, number: name.0 }
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotThis;
            fn from_str(text: &str) -> Result<Self, NotThis> {
                let number = text.strip_prefix($letter).ok_or(NotThis)?;
                digits(number).map($name)
            }
        }

        serde_by_text!($name);
    )+ };
}

/// Parses a number without a sign; the standard parser would accept one.
fn digits<T: FromStr>(text: &str) -> Result<T, NotThis> {
    if text.starts_with('+') { Err(NotThis) } else { text.parse().map_err(|_| NotThis) }
}

names! {
    /// A mapped region.
    Region = 'r';
    /// A forked child.
    Child = 'c';
    /// A pin: a set of pages that are pinned together.
    PinName = 'g';
    /// An owner of movable pages, such as a balloon.
    Movable = 'm';
    /// A page of any order that the program allocated.
    Allocated = 'p';
    /// The pages of the zram device's pool: `z0`.
    Store = 'z';
    /// The balloon of the machine: `b0`. No operation makes a balloon, and a machine has no other.
    BalloonName = 'b';
}

/// A name whose pages can be selected.
pub trait Selectable: 'static + Copy + FromStr<Err = NotThis> + Display {
    /// The letters of names that take a list of pages.
    const LISTED: &'static [char];
    /// Names that mean one page. A single letter in this list takes a number.
    const SINGLE: &'static [&'static str] = &[];
    /// True if pages can also be selected by the frames that they are in.
    const BY_FRAMES: bool = false;

    /// Returns true if this name takes a list of pages.
    fn is_listed(self) -> bool;

    /// Returns the thing that a program makes under this name; `None` for a name that always
    /// exists.
    fn thing(self) -> Option<Thing>;
}

/// The target of an address of `move_pages(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Pages of a region.
    Region(Region),
    /// Address 0, where nothing is ever mapped: `zero0`.
    Zero,
}

/// The pages that single steps work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The pages that a region maps at that moment.
    Region(Region),
    /// The pages of an owner of movable pages.
    Movable(Movable),
    /// A page that the program allocated.
    Allocated(Allocated),
    /// The pages of zspages at that moment, class by class.
    Store(Store),
    /// The pages of the balloon, by their numbers in it.
    Balloon(BalloonName),
}

impl Selectable for Region {
    const LISTED: &'static [char] = &['r'];
    const BY_FRAMES: bool = true;
    fn is_listed(self) -> bool {
        true
    }
    fn thing(self) -> Option<Thing> {
        Some(self.into())
    }
}

impl Selectable for Movable {
    const LISTED: &'static [char] = &['m'];
    fn is_listed(self) -> bool {
        true
    }
    fn thing(self) -> Option<Thing> {
        Some(self.into())
    }
}

impl Selectable for Address {
    const LISTED: &'static [char] = &['r'];
    const SINGLE: &'static [&'static str] = &["zero0"];
    fn is_listed(self) -> bool {
        matches!(self, Address::Region(_))
    }
    fn thing(self) -> Option<Thing> {
        match self {
            Address::Region(region) => Some(region.into()),
            Address::Zero => None,
        }
    }
}

impl Selectable for Owner {
    const LISTED: &'static [char] = &['r', 'm', 'z', 'b'];
    const SINGLE: &'static [&'static str] = &["p"];
    fn is_listed(self) -> bool {
        !matches!(self, Owner::Allocated(_))
    }
    fn thing(self) -> Option<Thing> {
        match self {
            Owner::Region(region) => Some(region.into()),
            Owner::Movable(movable) => Some(movable.into()),
            Owner::Allocated(page) => Some(page.into()),
            Owner::Store(store) => Some(store.into()),
            Owner::Balloon(_) => None,
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Region(region) => region.fmt(f),
            Address::Zero => f.write_str("zero0"),
        }
    }
}

impl FromStr for Address {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        if text == "zero0" { Ok(Address::Zero) } else { text.parse().map(Address::Region) }
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Region(region) => region.fmt(f),
            Owner::Movable(movable) => movable.fmt(f),
            Owner::Allocated(page) => page.fmt(f),
            Owner::Store(store) => store.fmt(f),
            Owner::Balloon(balloon) => balloon.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let region = text.parse().map(Owner::Region);
        region
            .or_else(|_| text.parse().map(Owner::Movable))
            .or_else(|_| text.parse().map(Owner::Allocated))
            .or_else(|_| text.parse().map(Owner::Balloon))
            .or_else(|_| text.parse().map(Owner::Store))
    }
}

// `serde_by_text` is not used here, because its messages need a syntax, which these types lack.
macro_rules! serde_by_name {
    ($($name:ty),+) => { $(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let unknown = || serde::de::Error::custom(format_args!("{} has no pages", quote(&text)));
                text.parse().map_err(|_| unknown())
            }
        }
    )+ };
}
serde_by_name!(Address, Owner, FrameRange);

/// Pages `first` to `last`, both included; `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "(u32, u32)", from = "(u32, u32)")]
pub struct PageRange {
    /// The first page.
    pub first: u32,
    /// The last page.
    pub last: u32,
}

impl From<(u32, u32)> for PageRange {
    fn from((first, last): (u32, u32)) -> Self {
        PageRange { first, last }
    }
}

impl From<PageRange> for (u32, u32) {
    fn from(range: PageRange) -> Self {
        (range.first, range.last)
    }
}

impl Display for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for PageRange {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = PageRange { first: digits(first)?, last: digits(last)? };
        if range.first <= range.last { Ok(range) } else { Err(NotThis) }
    }
}

/// Frames of a node by their numbers, from 0: `512-2047`, or `512-2047/1:2` for the first frame of
/// each two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRange {
    /// The frames from which some are taken.
    pub frames: PageRange,
    /// The number of frames taken of each `of`; at most `of`.
    pub keep: u32,
    /// The number of frames from one group to the next; at least 1.
    pub of: u32,
}

impl FrameRange {
    /// Returns the numbers of the frames, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        let PageRange { first, last } = self.frames;
        (first..=last).filter(move |number| (number - first) % self.of < self.keep)
    }
}

impl Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.fmt(f)?;
        if self.keep == self.of { Ok(()) } else { write!(f, "/{}:{}", self.keep, self.of) }
    }
}

impl FromStr for FrameRange {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let Some((frames, share)) = text.split_once('/') else {
            return Ok(FrameRange { frames: text.parse()?, keep: 1, of: 1 });
        };
        let (keep, of) = share.split_once(':').ok_or(NotThis)?;
        let range = FrameRange { frames: frames.parse()?, keep: digits(keep)?, of: digits(of)? };
        match (1..=range.of).contains(&range.keep) {
            // Equal numbers take all frames, however many are in a group.
            true if range.keep == range.of => Ok(FrameRange { keep: 1, of: 1, ..range }),
            true => Ok(range),
            false => Err(NotThis),
        }
    }
}

/// A selection: all pages of a thing (`r0`), a list of its pages (`r0:0-3,7`), or the pages of a
/// region that are in certain frames (`r0@512-2047/1:2`).
///
/// The list keeps its order and its repetitions, because `move_pages(2)` sees both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sel<N> {
    /// The thing whose pages are selected.
    pub of: N,
    /// The selected pages; `None` for all.
    pub pages: Option<Vec<PageRange>>,
    /// The frames whose pages are selected, by their numbers within the node that the region
    /// prefers; `None` for a selection by pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<FrameRange>>,
}

impl<N> Sel<N> {
    /// Returns the selected page numbers, in order, of a thing that has `len` pages. Numbers beyond
    /// `len` are included, because each operation gives them a meaning of its own. A selection by
    /// frames has no page numbers before the session has looked its pages up.
    pub fn indices(&self, len: u32) -> impl Iterator<Item = u32> + '_ {
        let whole = match (&self.pages, &self.frames) {
            (None, None) => 0..len,
            _ => 0..0,
        };
        whole.chain(self.pages.iter().flatten().flat_map(|range| range.first..=range.last))
    }
}

impl<N: Selectable> Word for Sel<N> {
    const SYNTAX: Syntax = Syntax::Selection { listed: N::LISTED, single: N::SINGLE, sum: false };

    fn names(&self, visit: &mut dyn FnMut(Thing)) {
        self.of.thing().into_iter().for_each(visit);
    }
}

impl<N: Display> Display for Sel<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)?;
        for (i, range) in self.frames.iter().flatten().enumerate() {
            write!(f, "{}{range}", if i == 0 { '@' } else { ',' })?;
        }
        for (i, range) in self.pages.iter().flatten().enumerate() {
            write!(f, "{}{range}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl<N: Selectable> FromStr for Sel<N> {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        if let Some((name, list)) = text.split_once('@').filter(|_| N::BY_FRAMES) {
            let frames = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            return Ok(Sel { of: name.parse()?, pages: None, frames: Some(frames) });
        }
        match text.split_once(':') {
            None => Ok(Sel { of: text.parse()?, pages: None, frames: None }),
            Some((name, list)) => {
                let of: N = name.parse()?;
                let pages = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
                if of.is_listed() { Ok(Sel { of, pages: Some(pages), frames: None }) } else { Err(NotThis) }
            }
        }
    }
}

/// Several selections in order: `r0:1+r1`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sum<N>(pub Vec<Sel<N>>);

impl<N: Selectable> Word for Sum<N> {
    const SYNTAX: Syntax = Syntax::Selection { listed: N::LISTED, single: N::SINGLE, sum: true };

    fn names(&self, visit: &mut dyn FnMut(Thing)) {
        self.0.iter().for_each(|sel| sel.names(visit));
    }
}

impl<N: Display> Display for Sum<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, sel) in self.0.iter().enumerate() {
            write!(f, "{}{sel}", if i == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

impl<N: Selectable> FromStr for Sum<N> {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        text.split('+').map(str::parse).collect::<Result<_, _>>().map(Sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_order_and_repetition() {
        let sel: Sel<Region> = "r3:7,0-2,7".parse().unwrap();
        assert_eq!(sel.indices(100).collect::<Vec<_>>(), [7, 0, 1, 2, 7]);
        assert_eq!(sel.to_string(), "r3:7,0-2,7");
    }

    #[test]
    fn a_selection_without_a_list_has_all_pages() {
        let sel: Sel<Movable> = "m1".parse().unwrap();
        assert_eq!(sel.indices(3).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn names_that_are_one_page_take_no_list() {
        assert!("zero0".parse::<Sum<Address>>().is_ok());
        assert!("zero0:0".parse::<Sum<Address>>().is_err());
        assert!("p0+r1:2".parse::<Sum<Owner>>().is_ok());
        assert!("p0:0".parse::<Sum<Owner>>().is_err());
    }

    #[test]
    fn no_operation_makes_the_balloon() {
        let sum: Sum<Owner> = "b0:0-1,3".parse().unwrap();
        assert_eq!((sum.to_string(), sum.0[0].of), ("b0:0-1,3".into(), Owner::Balloon(BalloonName(0))));
        assert!(sum.0[0].of.thing().is_none() && "b0".parse::<Sel<Region>>().is_err());
    }

    #[test]
    fn pages_of_a_region_are_selected_by_their_frames() {
        let sel: Sel<Region> = "r0@512-517/2:3,9,20-21/4:4".parse().unwrap();
        assert_eq!(sel.to_string(), "r0@512-517/2:3,9,20-21");
        let numbers: Vec<u32> = sel.frames.iter().flatten().flat_map(|range| range.numbers()).collect();
        assert_eq!(numbers, [512, 513, 515, 516, 9, 20, 21]);
        assert_eq!(sel.indices(100).count(), 0);
        for text in ["r0@", "r0@1/2", "r0@1-5/3:2", "r0@1-5/0:2", "m0@1", "r0@1:2"] {
            assert!(text.parse::<Sel<Region>>().is_err(), "{text:?}");
        }
        assert!("r0@1".parse::<Sum<Owner>>().is_err());
    }

    #[test]
    fn an_invalid_selection_is_refused() {
        for text in ["", "r", "r0:", "r0:1-", "r0:3-1", "r0:-1", "r0:1,", "r65536", "x0", "r0+", "r0 "] {
            assert!(text.parse::<Sum<Owner>>().is_err(), "{text:?}");
        }
    }
}
