//! One line: its words with their columns, and how an operation takes them.
//!
//! An operation takes its positional words in order, then its `key=value` words, then the options
//! that are left, these two in any order. A word that nobody took is an error.

use std::fmt;

use super::ParseError;
use super::spec::{ArgSpec, OpSpec, Place};
use super::word::{Syntax, Thing, Word, quote};

/// A word and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// In characters, from 1.
    pub(super) column: usize,
}

/// A line that is being taken apart.
#[derive(Debug)]
pub(super) struct Line<'a> {
    number: usize,
    pub(super) head: Piece<'a>,
    rest: Vec<Piece<'a>>,
    /// One past the last word: where a missing word would stand.
    end: usize,
    /// The operation that the line is, once it is known; every message tells its usage.
    pub(super) operation: Option<&'static OpSpec>,
}

impl<'a> Line<'a> {
    /// The words before the comment; `None` if there are none.
    pub(super) fn split(number: usize, text: &'a str) -> Option<Self> {
        let code = text.split('#').next().unwrap_or_default();
        let mut words: Vec<Piece<'a>> = Vec::new();
        let mut begin = None;
        let ends = code.char_indices().chain([(code.len(), ' ')]);
        for (column, (at, c)) in ends.enumerate() {
            match (begin, c.is_whitespace()) {
                (None, false) => begin = Some((at, column + 1)),
                (Some((from, column)), true) => {
                    words.push(Piece { text: &code[from..at], column });
                    begin = None;
                }
                _ => {}
            }
        }
        let last = words.last()?;
        let end = last.column + last.text.chars().count() + 1;
        let head = words.remove(0);
        Some(Line { number, head, rest: words, end, operation: None })
    }

    /// Whether a `key=` is among the words.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.rest.iter().any(|piece| key_value(piece.text, key).is_some())
    }

    /// An error at a word of this line.
    pub(super) fn error(&self, column: usize, message: impl fmt::Display) -> ParseError {
        let usage = self.operation.map_or_else(String::new, |spec| format!("; usage: {}", spec.usage()));
        ParseError { line: self.number, column, message: format!("{message}{usage}") }
    }

    fn wrong(&self, piece: Piece<'_>, syntax: &Syntax) -> ParseError {
        let message = format!("{} should be {}", quote(piece.text), syntax.expected());
        self.error(piece.column, message)
    }

    fn missing(&self, what: &str) -> ParseError {
        self.error(self.end, format_args!("{} needs {what}", self.head.text))
    }

    /// A word of a kind.
    pub(super) fn read<W: Word>(&self, piece: Piece<'_>) -> Result<W, ParseError> {
        piece.text.parse().map_err(|_| self.wrong(piece, &W::SYNTAX))
    }

    /// The next positional word.
    pub(super) fn positional<S: Slot>(&mut self, field: &str) -> Result<S, ParseError> {
        let word = if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) };
        let word = word.map(|piece| self.read(piece)).transpose()?;
        S::fill(word).ok_or_else(|| self.missing(&<S::Word as Word>::SYNTAX.placeholder(field)))
    }

    /// The word `key=...`, wherever it stands.
    pub(super) fn key<S: Slot>(&mut self, key: &str) -> Result<S, ParseError> {
        let found = self.rest.iter().position(|piece| key_value(piece.text, key).is_some());
        let piece = found.map(|at| self.rest.remove(at));
        let word = piece.map(|piece| {
            let value = key_value(piece.text, key).unwrap_or_default();
            let column = piece.column + key.len() + 1;
            self.read(Piece { text: value, column })
        });
        S::fill(word.transpose()?).ok_or_else(|| self.missing(&format!("{key}=")))
    }

    /// All words that are left, as options, each at most once.
    pub(super) fn options<W: Word>(&mut self) -> Result<Vec<W>, ParseError> {
        let mut options: Vec<W> = Vec::new();
        for piece in std::mem::take(&mut self.rest) {
            let option = self.read(piece)?;
            let twice = |other: &W| std::mem::discriminant(other) == std::mem::discriminant(&option);
            if options.iter().any(twice) {
                return Err(self
                    .error(piece.column, format_args!("{} is given twice; remove one", quote(piece.text))));
            }
            options.push(option);
        }
        Ok(options)
    }

    /// The words that are left, for a line that is not a table row.
    pub(super) fn take_rest(&mut self) -> Vec<Piece<'a>> {
        std::mem::take(&mut self.rest)
    }

    /// No word may be left.
    pub(super) fn finish(&self) -> Result<(), ParseError> {
        match self.rest.first() {
            None => Ok(()),
            Some(piece) => {
                let (head, extra) = (self.head.text, quote(piece.text));
                Err(self.error(piece.column, format_args!("{head} takes no {extra} here; remove it")))
            }
        }
    }
}

fn key_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.strip_prefix(key)?.strip_prefix('=')
}

/// A field of an operation that is one word: a word, or perhaps a word.
pub(super) trait Slot: Sized {
    /// The word.
    type Word: Word;
    /// Whether it must be there.
    const REQUIRED: bool;

    /// The field from what stood in the line; `None` if it must not be absent.
    fn fill(word: Option<Self::Word>) -> Option<Self>;
    /// What to print.
    fn word(&self) -> Option<&Self::Word>;
}

impl<W: Word> Slot for W {
    type Word = W;
    const REQUIRED: bool = true;

    fn fill(word: Option<W>) -> Option<W> {
        word
    }
    fn word(&self) -> Option<&W> {
        Some(self)
    }
}

impl<W: Word> Slot for Option<W> {
    type Word = W;
    const REQUIRED: bool = false;

    fn fill(word: Option<W>) -> Option<Option<W>> {
        Some(word)
    }
    fn word(&self) -> Option<&W> {
        self.as_ref()
    }
}

/// Prints a positional word.
pub(super) fn print_positional<S: Slot>(slot: &S, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    slot.word().map_or(Ok(()), |word| write!(f, " {word}"))
}

/// Prints a `key=value` word.
pub(super) fn print_key<S: Slot>(key: &str, slot: &S, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    slot.word().map_or(Ok(()), |word| write!(f, " {key}={word}"))
}

/// Shows what a word names.
pub(super) fn names<S: Slot>(slot: &S, show: &mut dyn FnMut(Thing)) {
    slot.word().into_iter().for_each(|word| word.names(show));
}

/// Prints options.
pub(super) fn print_options<W: Word>(options: &[W], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    options.iter().try_for_each(|option| write!(f, " {option}"))
}

/// Describes a field that is one word.
pub(super) const fn describe<S: Slot>(name: &'static str, place: Place) -> ArgSpec {
    ArgSpec { name, place, required: S::REQUIRED, syntax: <S::Word as Word>::SYNTAX }
}

/// Describes a field of options.
pub(super) const fn describe_options<W: Word>(name: &'static str) -> ArgSpec {
    ArgSpec { name, place: Place::Options, required: false, syntax: W::SYNTAX }
}
