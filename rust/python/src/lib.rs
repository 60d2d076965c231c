//! The extension module `mmcore._mmcore`: translation only, no logic.
