//! A line of a program: its words with their columns, and the order in which an operation takes the
//! words.
//!
//! An operation takes its positional words in order, then its `key=value` words, then the remaining
//! options; the last two may stand in any order. A word that is left over is an error.

use std::fmt;

use super::ParseError;
use super::spec::{ArgSpec, OpSpec, Place};
use super::word::{Syntax, Thing, Word, quote};

/// A word and the column at which it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// The column in characters, from 1.
    pub(super) column: usize,
}

/// A line from which words are taken.
#[derive(Debug)]
pub(super) struct Line<'a> {
    number: usize,
    pub(super) head: Piece<'a>,
    rest: Vec<Piece<'a>>,
    /// The column after the last word, where a missing word would be.
    end: usize,
    /// The operation of the line, once it is known; every message shows its usage.
    pub(super) operation: Option<&'static OpSpec>,
}

impl<'a> Line<'a> {
    /// Splits the text before the comment into words; `None` if there is no word.
    pub(super) fn split(number: usize, text: &'a str) -> Option<Self> {
        let code = text.split('#').next().unwrap_or_default();
        let mut words: Vec<Piece<'a>> = Vec::new();
        let mut begin = None;
        let characters = code.char_indices().chain([(code.len(), ' ')]);
        for (column, (at, c)) in characters.enumerate() {
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

    /// Returns true if a `key=` is among the words.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.rest.iter().any(|piece| key_value(piece.text, key).is_some())
    }

    /// Makes the error for a mistake at a word of this line.
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

    /// Reads a word.
    pub(super) fn read<W: Word>(&self, piece: Piece<'_>) -> Result<W, ParseError> {
        piece.text.parse().map_err(|_| self.wrong(piece, &W::SYNTAX))
    }

    /// Takes the next positional word.
    pub(super) fn positional<S: Slot>(&mut self, field: &str) -> Result<S, ParseError> {
        // A positional word that may be missing never has the form `key=value`.
        let missing = |piece: &Piece<'_>| !S::REQUIRED && piece.text.contains('=');
        let word = match self.rest.first() {
            Some(piece) if !missing(piece) => Some(self.rest.remove(0)),
            _ => None,
        };
        let word = word.map(|piece| self.read(piece)).transpose()?;
        S::fill(word).ok_or_else(|| self.missing(&<S::Word as Word>::SYNTAX.placeholder(field)))
    }

    /// Takes the word `key=...`, wherever it stands in the line.
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

    /// Takes all remaining words as options, each at most once.
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

    /// Takes the remaining words of a line that is not in the table.
    pub(super) fn take_rest(&mut self) -> Vec<Piece<'a>> {
        std::mem::take(&mut self.rest)
    }

    /// Fails if a word is left over.
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

/// A field of an operation that is one word, or an optional word.
pub(super) trait Slot: Sized {
    /// The word.
    type Word: Word;
    /// True if the word is required.
    const REQUIRED: bool;

    /// Makes the field from the word of the line; `None` if a required word is missing.
    fn fill(word: Option<Self::Word>) -> Option<Self>;
    /// Returns the word to print, if there is one.
    fn word(&self) -> Option<&Self::Word>;
    /// Returns the word to change, if there is one.
    fn word_mut(&mut self) -> Option<&mut Self::Word>;
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
    fn word_mut(&mut self) -> Option<&mut W> {
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
    fn word_mut(&mut self) -> Option<&mut W> {
        self.as_mut()
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

/// Calls `visit` with each thing that a word names.
pub(super) fn names<S: Slot>(slot: &S, visit: &mut dyn FnMut(Thing)) {
    slot.word().into_iter().for_each(|word| word.names(visit));
}

/// Prints options.
pub(super) fn print_options<W: Word>(options: &[W], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    options.iter().try_for_each(|option| write!(f, " {option}"))
}

/// Returns the description of a field that is one word.
pub(super) const fn describe<S: Slot>(name: &'static str, place: Place) -> ArgSpec {
    ArgSpec { name, place, required: S::REQUIRED, syntax: <S::Word as Word>::SYNTAX }
}

/// Returns the description of a field of options.
pub(super) const fn describe_options<W: Word>(name: &'static str) -> ArgSpec {
    ArgSpec { name, place: Place::Options, required: false, syntax: W::SYNTAX }
}
