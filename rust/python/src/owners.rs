//! Owners of movable pages in explored programs that are written in Python.
//!
//! The explorer runs each callback on the stack of its OS thread and not on a coroutine's, as part of one
//! step. The callback sees copies of its pages as they are at that step. Its writes go to the machine's pages
//! when it ends, also by an exception.

use crate::errors::misuse;
use crate::pool::{accounted, refusal};
use mmcore_explored::error::Errno as ExploredErrno;
use mmcore_explored::explore::{Answer, Callbacks, Owners, Question, bring_owners};
use mmcore_explored::memory::WORDS;
use mmcore_explored::migrate::Mode;
use mmcore_explored::movable::PageView;
use mmcore_explored::page::Pfn;
use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyIndexError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ExploredPage>()
}

/// A page of an explored program, as an owner's callback sees it. It holds no reference. Its state is that at
/// the step in which the callback runs. After the callback the content can be neither read nor written, and
/// no reference can be put.
#[pyclass(frozen, module = "mmcore.handles")]
pub(crate) struct ExploredPage {
    pfn: Pfn,
    node: usize,
    refcount: u32,
    flags: Vec<String>,
    /// The work of the callback; `None` after its end. One lock holds all of it: with two, a write of
    /// another thread could pass the check just before the end and be lost after it.
    work: Mutex<Option<Work>>,
}

/// The content that a callback sees, and its changes.
struct Work {
    words: Vec<u64>,
    written: Vec<(usize, u64)>,
    puts: u32,
}

impl ExploredPage {
    fn of(view: &dyn PageView, pfn: Pfn) -> ExploredPage {
        let word = view.page_word(pfn);
        ExploredPage {
            pfn,
            node: view.node_of(pfn),
            refcount: word.count(),
            flags: word.flags().iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect(),
            work: Mutex::new(Some(Work {
                words: (0..WORDS).map(|word| view.load(pfn, word)).collect(),
                written: Vec::new(),
                puts: 0,
            })),
        }
    }

    /// Ends the callback: copies its writes to the machine's page, and returns the number of references to
    /// put.
    fn end(&self, view: &dyn PageView) -> u32 {
        let Some(work) = self.work.lock().take() else { return 0 };
        work.written.into_iter().for_each(|(word, value)| view.store(self.pfn, word, value));
        work.puts
    }

    /// Does a part of the callback's work. Refuses a page whose callback has ended.
    fn working<T>(&self, part: impl FnOnce(&mut Work) -> PyResult<T>) -> PyResult<T> {
        let refused = || misuse("the content of an explored page can be used only inside of its callback");
        part(self.work.lock().as_mut().ok_or_else(refused)?)
    }
}

fn no_word(word: usize) -> PyErr {
    PyIndexError::new_err(format!("no word {word}: a page has {WORDS}"))
}

#[pymethods]
impl ExploredPage {
    /// The number of the frame.
    #[getter]
    fn pfn(&self) -> u32 {
        self.pfn.0
    }

    /// The node that the frame belongs to.
    #[getter]
    fn node(&self) -> usize {
        self.node
    }

    /// The reference count.
    #[getter]
    fn refcount(&self) -> u32 {
        self.refcount
    }

    /// The names of the flags that are set.
    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.flags)
    }

    /// Reads one word of the content.
    ///
    /// Args:
    ///     word: the number of the word of 8 bytes within the page, from 0.
    ///
    /// Raises:
    ///     IndexError: if a page has no such word.
    ///     MisuseError: after the callback.
    #[pyo3(signature = (word=0))]
    fn read(&self, word: usize) -> PyResult<u64> {
        self.working(|work| work.words.get(word).copied().ok_or_else(|| no_word(word)))
    }

    /// Writes one word of the content.
    ///
    /// Args:
    ///     word: the number of the word of 8 bytes within the page, from 0.
    ///     value: the new value, an unsigned number of 64 bits.
    ///
    /// Raises:
    ///     IndexError: if a page has no such word.
    ///     MisuseError: after the callback.
    fn write(&self, word: usize, value: u64) -> PyResult<()> {
        self.working(|work| {
            *work.words.get_mut(word).ok_or_else(|| no_word(word))? = value;
            work.written.push((word, value));
            Ok(())
        })
    }

    /// Copies the content of another page.
    ///
    /// Args:
    ///     source: the page whose content is copied.
    ///
    /// Raises:
    ///     MisuseError: after the callback.
    fn copy_from(&self, source: &ExploredPage) -> PyResult<()> {
        (0..WORDS).try_for_each(|word| self.write(word, source.read(word)?))
    }

    /// Puts a reference of the owner as soon as the callback returns or refuses by an `OSError`. No reference
    /// is put after any other exception.
    ///
    /// Raises:
    ///     MisuseError: after the callback.
    fn put(&self) -> PyResult<()> {
        self.working(|work| {
            work.puts = work.puts.saturating_add(1);
            Ok(())
        })
    }

    fn __index__(&self) -> u32 {
        self.pfn.0
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<ExploredPage>().is_ok_and(|other| other.get().pfn == self.pfn)
    }

    fn __hash__(&self) -> u64 {
        u64::from(self.pfn.0)
    }

    fn __repr__(&self) -> String {
        let flags = self.flags.join(" ");
        format!("<ExploredPage pfn={} node={} count={} [{flags}]>", self.pfn.0, self.node, self.refcount)
    }
}

/// The exception by which an owner has ended the user's call of the explorer: `KeyboardInterrupt`,
/// `SystemExit` or another exception that is no `Exception`. An `OSError` from `isolate` or `migrate` is a
/// refusal and ends nothing. Any other exception is a bug of the owner, which the search reports.
#[derive(Default)]
pub(crate) struct Ended(Mutex<Option<PyErr>>);

impl Ended {
    /// Takes the exception, for the thread that waits for the explorer.
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().take()
    }

    /// Returns an owner's exception as one line. If the exception ends the call and is the first to do so,
    /// it is kept.
    fn line(&self, py: Python<'_>, raised: PyErr) -> String {
        let line = exception_line(py, &raised);
        if !raised.is_instance_of::<PyException>(py) {
            // No exception is dropped under the lock, because dropping it can run Python code.
            let mut kept = self.0.lock();
            let late = match kept.is_some() {
                true => Some(raised),
                false => kept.replace(raised),
            };
            drop(kept);
            drop(late);
        }
        line
    }
}

/// The owners that a call of the explorer was given, by the names of the program.
pub(crate) struct PythonOwners {
    owners: Vec<(String, Py<PyAny>)>,
    ended: Arc<Ended>,
}

impl PythonOwners {
    /// Packs the owners for the thread that explores.
    pub fn bring(owners: Option<&Bound<'_, PyDict>>) -> PyResult<Brought> {
        let Some(owners) = owners.filter(|owners| !owners.is_empty()) else { return Ok(Brought(None)) };
        let owners = owners.iter().map(|(name, owner)| Ok((name.extract::<String>()?, owner.unbind())));
        let owners = owners.collect::<PyResult<_>>()?;
        Ok(Brought(Some(Arc::new(PythonOwners { owners, ended: Arc::default() }))))
    }
}

/// Owners on their way to the thread that explores.
pub(crate) struct Brought(Option<Arc<PythonOwners>>);

impl Brought {
    /// The place of the exception by which an owner ends the call.
    pub fn ended(&self) -> Arc<Ended> {
        self.0.as_ref().map_or_else(Arc::default, |owners| Arc::clone(&owners.ended))
    }

    /// Brings the owners to the calling thread, which explores.
    pub fn arrive(self) {
        bring_owners(self.0.map(|owners| owners as Arc<dyn Owners>));
    }
}

impl Owners for PythonOwners {
    fn owner(&self, name: &str) -> Result<Option<Box<dyn Callbacks>>, String> {
        let Some((_, owner)) = self.owners.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let copied = attached(|py| {
            copy(owner.bind(py)).map(Bound::unbind).map_err(|raised| self.ended.line(py, raised))
        });
        let live = copied.map_err(|why| format!("the owner of {name} cannot be copied: {why}"))?;
        let ended = Arc::clone(&self.ended);
        Ok(Some(Box::new(PythonCallbacks { live: Mutex::new(Some(live)), settled: Mutex::new(None), ended })))
    }
}

/// Runs `f` attached to the interpreter. An error if the interpreter has ended.
fn attached<T>(f: impl FnOnce(Python<'_>) -> Result<T, String>) -> Result<T, String> {
    Python::try_attach(f).unwrap_or_else(|| Err("the interpreter has ended".into()))
}

/// A deep copy of an owner: each schedule gets one, in the state that the set-up left.
fn copy<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    owner.py().import("copy")?.call_method1("deepcopy", (owner,))
}

/// An exception as one line.
fn exception_line(py: Python<'_>, raised: &PyErr) -> String {
    let class = raised.get_type(py).name().map_or_else(|_| "exception".into(), |name| name.to_string());
    let text = raised.value(py).str().map_or_else(|_| String::new(), |text| text.to_string());
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { class } else { format!("{class}: {line}") }
}

/// The copies of an owner that belong to one machine of the explorer.
struct PythonCallbacks {
    /// The owner of the present schedule; `None` if it could not be copied.
    live: Mutex<Option<Py<PyAny>>>,
    /// The owner as the set-up left it.
    settled: Mutex<Option<Py<PyAny>>>,
    ended: Arc<Ended>,
}

impl PythonCallbacks {
    fn answer(
        &self,
        question: Question,
        view: &dyn PageView,
        py: Python<'_>,
    ) -> PyResult<(Answer, Vec<Pfn>)> {
        let owner = self.live.lock().as_ref().map(|owner| owner.clone_ref(py));
        let Some(owner) = owner else { return Err(misuse("the owner cannot be copied for a schedule")) };
        let (method, frames, mode) = match question {
            Question::Isolate(pfn) => ("isolate", vec![pfn], None),
            Question::Migrate(from, to, mode) => ("migrate", vec![from, to], Some(mode)),
            Question::Putback(pfn) => ("putback", vec![pfn], None),
            Question::Released(pfn) => ("released", vec![pfn], None),
            Question::Held => ("held", Vec::new(), None),
        };
        if question == Question::Held && !owner.bind(py).hasattr("held")? {
            return Ok((Answer::Pages(None), Vec::new()));
        }
        let pages = frames.iter().map(|&pfn| Bound::new(py, ExploredPage::of(view, pfn)));
        let pages = pages.collect::<PyResult<Vec<_>>>()?;
        let mut arguments: Vec<Bound<'_, PyAny>> = pages.iter().map(|page| page.clone().into_any()).collect();
        if let Some(mode) = mode {
            let word = Mode::NAMES.iter().find(|(_, known)| *known == mode).map_or("sync", |(name, _)| *name);
            arguments.push(word.into_pyobject(py)?.into_any());
        }
        let returned = owner.bind(py).call_method1(method, PyTuple::new(py, arguments)?);
        let mut puts = Vec::new();
        for page in &pages {
            let page = page.get();
            puts.extend(std::iter::repeat_n(page.pfn, page.end(view) as usize));
        }
        let answer = match (question, returned) {
            (Question::Isolate(_) | Question::Migrate(..), Err(raised))
                if raised.is_instance_of::<PyOSError>(py) =>
            {
                Answer::No(ExploredErrno(refusal(py, &raised).0))
            }
            (_, Err(raised)) => return Err(raised),
            (Question::Isolate(_), Ok(answer)) => match answer.is_truthy()? {
                true => Answer::Yes,
                false => Answer::No(ExploredErrno::EBUSY),
            },
            (Question::Migrate(..), Ok(copied)) if copied.is_truthy()? => Answer::Copied,
            (Question::Held, Ok(pages)) => {
                let pages = accounted(&pages)?;
                Answer::Pages(pages.map(|pages| pages.into_iter().map(|pfn| Pfn(pfn.0)).collect()))
            }
            (_, Ok(_)) => Answer::Yes,
        };
        Ok((answer, puts))
    }

    fn copied(&self, from: &Mutex<Option<Py<PyAny>>>) -> Option<Py<PyAny>> {
        let copied = attached(|py| {
            let owner = from.lock().as_ref().map(|owner| owner.clone_ref(py));
            let owner = owner.ok_or_else(String::new)?;
            copy(owner.bind(py)).map(Bound::unbind).map_err(|raised| self.ended.line(py, raised))
        });
        copied.ok()
    }
}

impl Callbacks for PythonCallbacks {
    fn ask(&self, question: Question, view: &dyn PageView) -> (Answer, Vec<Pfn>) {
        let answered =
            attached(|py| self.answer(question, view, py).map_err(|raised| self.ended.line(py, raised)));
        answered.unwrap_or_else(|why| (Answer::Raised(why), Vec::new()))
    }

    fn settle(&self) {
        let settled = self.copied(&self.live);
        // The old object is dropped without the lock, because dropping it can run Python code.
        let _old = std::mem::replace(&mut *self.settled.lock(), settled);
    }

    fn begin(&self) {
        let live = self.copied(&self.settled);
        let _old = std::mem::replace(&mut *self.live.lock(), live);
    }
}
