//! Names of things that a program makes, and selections of their pages.
//!
//! A name is a letter and a number. A selection is a name, which means all pages, or a name and
//! a list of pages. Which names may stand where is said by types: a child writes to a
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

            fn names(&self, show: &mut dyn FnMut(Thing)) {
                show((*self).into());
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

/// A number without a sign, which the standard parser would let pass.
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
    /// An owner of movable pages, as a balloon or an allocator is one.
    Movable = 'm';
    /// A page, of any order, that the program itself allocated.
    Allocated = 'p';
}

/// What has pages and can be selected from.
pub trait Selectable: Copy + FromStr<Err = NotThis> + Display {
    /// The letters of names that take a list of pages.
    const LISTED: &'static [char];
    /// Names that stand for one page; a single letter takes a number.
    const SINGLE: &'static [&'static str] = &[];

    /// Whether this name takes a list of pages.
    fn is_listed(self) -> bool;

    /// What was made under this name; `None` if it is always there.
    fn thing(self) -> Option<Thing>;
}

/// What stands behind an address of `move_pages(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Pages of a region.
    Region(Region),
    /// Address 0, where nothing is ever mapped: `zero0`.
    Zero,
}

/// What single steps take pages from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The pages behind a region, wherever they are by now.
    Region(Region),
    /// The pages of an owner of movable pages.
    Movable(Movable),
    /// A page that the program allocated.
    Allocated(Allocated),
}

impl Selectable for Region {
    const LISTED: &'static [char] = &['r'];
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
    const LISTED: &'static [char] = &['r', 'm'];
    const SINGLE: &'static [&'static str] = &["p"];
    fn is_listed(self) -> bool {
        !matches!(self, Owner::Allocated(_))
    }
    fn thing(self) -> Option<Thing> {
        Some(match self {
            Owner::Region(region) => region.into(),
            Owner::Movable(movable) => movable.into(),
            Owner::Allocated(page) => page.into(),
        })
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
        }
    }
}

impl FromStr for Owner {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let region = text.parse().map(Owner::Region);
        region.or_else(|_| text.parse().map(Owner::Movable)).or_else(|_| text.parse().map(Owner::Allocated))
    }
}

// Not through `serde_by_text`, whose messages need a syntax: a bare name of these is no word.
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
serde_by_name!(Address, Owner);

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

/// All pages of something, or a list of them: `r0`, `r0:0-3,7`.
///
/// The list keeps its order and its repetitions: `move_pages(2)` sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sel<N> {
    /// Whose pages.
    pub of: N,
    /// Which pages; `None` is all of them.
    pub pages: Option<Vec<PageRange>>,
}

impl<N> Sel<N> {
    /// The selected page numbers, in order, of something that has `len` pages. What lies beyond
    /// `len` is left in: it is for the operation to say what that means.
    pub fn indices(&self, len: u32) -> impl Iterator<Item = u32> + '_ {
        let whole = match self.pages {
            None => 0..len,
            Some(_) => 0..0,
        };
        whole.chain(self.pages.iter().flatten().flat_map(|range| range.first..=range.last))
    }
}

impl<N: Selectable> Word for Sel<N> {
    const SYNTAX: Syntax = Syntax::Selection { listed: N::LISTED, single: N::SINGLE, sum: false };

    fn names(&self, show: &mut dyn FnMut(Thing)) {
        self.of.thing().into_iter().for_each(show);
    }
}

impl<N: Display> Display for Sel<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)?;
        for (i, range) in self.pages.iter().flatten().enumerate() {
            write!(f, "{}{range}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl<N: Selectable> FromStr for Sel<N> {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        match text.split_once(':') {
            None => Ok(Sel { of: text.parse()?, pages: None }),
            Some((name, list)) => {
                let of: N = name.parse()?;
                let pages = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
                if of.is_listed() { Ok(Sel { of, pages: Some(pages) }) } else { Err(NotThis) }
            }
        }
    }
}

/// Selections one after the other: `r0:1+r1`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sum<N>(pub Vec<Sel<N>>);

impl<N: Selectable> Word for Sum<N> {
    const SYNTAX: Syntax = Syntax::Selection { listed: N::LISTED, single: N::SINGLE, sum: true };

    fn names(&self, show: &mut dyn FnMut(Thing)) {
        self.0.iter().for_each(|sel| sel.names(show));
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
    fn without_a_list_all_pages_are_meant() {
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
    fn what_is_no_selection_is_refused() {
        for text in ["", "r", "r0:", "r0:1-", "r0:3-1", "r0:-1", "r0:1,", "r65536", "x0", "r0+", "r0 "] {
            assert!(text.parse::<Sum<Owner>>().is_err(), "{text:?}");
        }
    }
}
