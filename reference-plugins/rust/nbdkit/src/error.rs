//! What a callback fails with.

use crate::{errno, ffi};
use std::borrow::Cow;
use std::ffi::CString;
use std::{error, fmt, io};

/// A message for the log and an errno for the client.
#[derive(Debug)]
pub struct Error {
    source: Box<dyn error::Error + 'static>,
    errno: i32,
    reported: bool,
}

/// What callbacks return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with an errno, for example of [`crate::errno`], and a message.
    pub fn new<E>(errno: i32, error: E) -> Error
    where
        E: Into<Box<dyn error::Error + 'static>>,
    {
        Error { source: error.into(), errno, reported: false }
    }

    /// The server has already said what was wrong.
    pub(crate) fn reported(errno: i32, what: &str) -> Error {
        Error { reported: true, ..Error::new(errno, what) }
    }

    /// The errno that the client gets. What is not positive becomes EIO: nbdkit takes 0 for
    /// "none", and negative ones end it.
    pub fn errno(&self) -> i32 {
        if self.errno > 0 {
            self.errno
        } else {
            errno::EIO
        }
    }

    /// Tells the server. A zero request that declines is no failure and gets no line in the log.
    pub(crate) fn report(&self, declines: bool) {
        let message = self.to_string();
        if declines && self.errno() == errno::EOPNOTSUPP {
            ffi::debug(&message);
        } else if !self.reported {
            ffi::error(&message);
        }
        ffi::set_error(self.errno());
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        let errno = e.raw_os_error().unwrap_or_else(|| match e.kind() {
            io::ErrorKind::OutOfMemory => errno::ENOMEM,
            io::ErrorKind::PermissionDenied => errno::EPERM,
            io::ErrorKind::InvalidInput => errno::EINVAL,
            _ => errno::EIO,
        });
        Error::new(errno, e)
    }
}

/// A message as C takes it, and as a log takes it: one line, no escape sequences.
pub(crate) fn one_line(text: &str) -> CString {
    let text = text.trim_end();
    let clean: Cow<str> = if text.chars().any(char::is_control) {
        let mut escaped = String::new();
        for c in text.chars() {
            match c {
                '\n' | '\t' => escaped.push(' '),
                c if c.is_control() => escaped.extend(c.escape_default()),
                c => escaped.push(c),
            }
        }
        escaped.into()
    } else {
        text.into()
    };
    CString::new(clean.as_bytes()).unwrap_or_default() // no NUL is left: it is a control character
}
