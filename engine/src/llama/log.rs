//! llama.cpp's log: the last lines are kept for error reports, warnings and errors also go to
//! stderr, and the message of a failed assertion goes there before the process aborts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::raw::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::text;
use crate::log;

/// Lines kept for error reports.
const LINES_KEPT: usize = 20;

/// Longest line kept, in bytes; a model file can put anything into the log.
const LINE_BYTES_MAX: usize = 500;

static RECENT: Mutex<Recent> =
    Mutex::new(Recent { lines: VecDeque::new(), open: String::new(), level: 0 });

thread_local! {
    /// Errors that llama.cpp reports on this thread, while somebody wants to know them.
    static ERRORS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Whether llama.cpp does as it was told when it complains.
static INTENDED: AtomicBool = AtomicBool::new(false);

struct Recent {
    lines: VecDeque<String>,
    /// A line that llama.cpp has not ended yet.
    open: String,
    level: sys::ggml_log_level,
}

impl Recent {
    fn append(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.level = level;
        }
        for piece in text.split_inclusive('\n') {
            let ended = piece.ends_with('\n');
            self.open.extend(piece.trim_end_matches('\n').chars().take(LINE_BYTES_MAX));
            if ended || self.open.len() >= LINE_BYTES_MAX {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        // llama.cpp shows progress with lines of dots.
        if line.trim_matches('.').trim().is_empty() {
            return;
        }
        let complains = matches!(self.level, sys::GGML_LOG_LEVEL_WARN | sys::GGML_LOG_LEVEL_ERROR);
        if complains && !INTENDED.load(Ordering::Relaxed) {
            log::line(format_args!("llama.cpp: {line}"));
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Whether what llama.cpp complains of from now on is intended, and not to be shown.
pub(super) fn intend(intended: bool) {
    INTENDED.store(intended, Ordering::Relaxed);
}

/// llama.cpp's last log lines, oldest first.
pub fn recent() -> Vec<String> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
}

/// What `call` returns, and the errors that llama.cpp logged meanwhile on this thread.
pub(super) fn with_errors<T>(call: impl FnOnce() -> T) -> (T, String) {
    ERRORS.set(Some(String::new()));
    let result = call();
    (result, ERRORS.take().unwrap_or_default())
}

/// Takes over llama.cpp's log and its abort message.
pub(super) fn capture() {
    // SAFETY: both callbacks live as long as the program, use no user data and do not unwind.
    unsafe {
        sys::llama_log_set(Some(on_log), std::ptr::null_mut());
        // In place of the default, which would start a debugger to print a backtrace.
        sys::ggml_set_abort_callback(Some(on_abort));
    }
}

unsafe extern "C" fn on_log(level: sys::ggml_log_level, line: *const c_char, _: *mut c_void) {
    // SAFETY: llama.cpp passes a NUL-terminated string that lives during the call.
    let line = unsafe { text(line) };
    if level == sys::GGML_LOG_LEVEL_ERROR {
        ERRORS.with_borrow_mut(|errors| {
            if let Some(errors) = errors.as_mut().filter(|errors| errors.len() < LINE_BYTES_MAX) {
                errors.push_str(&line);
            }
        });
    }
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).append(level, &line);
}

unsafe extern "C" fn on_abort(message: *const c_char) {
    // SAFETY: ggml passes a NUL-terminated string that lives during the call.
    let message = unsafe { text(message) };
    log::line(format_args!("llama.cpp gave up: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Recent {
        Recent { lines: VecDeque::new(), open: String::new(), level: 0 }
    }

    #[test]
    fn a_line_in_pieces_is_kept_as_one() {
        let mut recent = empty();
        recent.append(sys::GGML_LOG_LEVEL_INFO, "loading ");
        recent.append(sys::GGML_LOG_LEVEL_CONT, "weights\nnext");
        assert_eq!(recent.lines, ["loading weights"]);
        recent.append(sys::GGML_LOG_LEVEL_CONT, "\n....\n\n");
        assert_eq!(recent.lines, ["loading weights", "next"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_none_grows_without_bound() {
        let mut recent = empty();
        for number in 0..LINES_KEPT + 5 {
            recent.append(sys::GGML_LOG_LEVEL_INFO, &format!("line {number}\n"));
        }
        assert_eq!(recent.lines.len(), LINES_KEPT);
        assert_eq!(recent.lines[0], "line 5");
        for _ in 0..100 {
            recent.append(sys::GGML_LOG_LEVEL_CONT, &"x".repeat(100));
        }
        assert!(recent.open.len() <= 2 * LINE_BYTES_MAX);
    }
}
