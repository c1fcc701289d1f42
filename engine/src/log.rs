//! Human-readable log lines on stderr, which the daemon inherits to its own log.

use std::fmt;
use std::io::{self, Write};

/// Writes one line. A closed stderr is no reason to stop answering.
pub fn line(message: fmt::Arguments) {
    let _ = writeln!(io::stderr().lock(), "tandem-engine: {message}");
}
