//! What a plugin may ask of the server.

use crate::error::{Error, Result};
use crate::lists::text;
use crate::{errno, ffi};
use std::ffi::{CStr, OsStr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{error, ptr};

/// The name of the export that the client wants, from `open` on. It is the client's text: do not
/// trust it. Only on the server's own threads, which is where callbacks run.
pub fn export_name() -> std::result::Result<String, Box<dyn error::Error>> {
    let name = unsafe { ffi::nbdkit_export_name() };
    if name.is_null() {
        return Err("there is no export name here".into());
    }
    Ok(unsafe { CStr::from_ptr(name) }.to_str()?.to_owned())
}

/// May stdin and stdout be used? Only while the plugin is configured.
pub fn is_stdio_safe() -> bool {
    unsafe { ffi::nbdkit_stdio_safe() == 1 }
}

/// Did the client use TLS? From `open` on.
pub fn is_tls() -> Result<bool> {
    let ask: Option<unsafe extern "C" fn() -> c_int> = unsafe { ffi::newer(b"nbdkit_is_tls\0") };
    match ask.map(|ask| unsafe { ask() }) {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(Error::reported(errno::EINVAL, "there is no client here")),
        None => Err(Error::new(errno::EINVAL, "nbdkit before 1.22 does not tell about TLS")),
    }
}

/// Asks the server to end. Calls may still come.
pub fn shutdown() {
    unsafe { ffi::nbdkit_shutdown() }
}

/// Asks the server to drop this client: at once (`force`), or when its requests are answered.
/// Servers before 1.34 cannot; then nothing happens but a debug message.
pub fn disconnect(force: bool) {
    type Disconnect = unsafe extern "C" fn(c_int);
    match unsafe { ffi::newer::<Disconnect>(b"nbdkit_disconnect\0") } {
        Some(disconnect) => unsafe { disconnect(force.into()) },
        None => ffi::debug("this nbdkit has no nbdkit_disconnect"),
    }
}

/// A number of bytes as people write it: `1M`, `512`, `10s`.
pub fn parse_size(s: &str) -> Result<i64> {
    match unsafe { ffi::nbdkit_parse_size(text(s)?.as_ptr()) } {
        -1 => Err(Error::reported(errno::EINVAL, "not a size")),
        size => Ok(size),
    }
}

/// `true`, `off`, `1` and the like.
pub fn parse_bool(s: &str) -> Result<bool> {
    match unsafe { ffi::nbdkit_parse_bool(text(s)?.as_ptr()) } {
        -1 => Err(Error::reported(errno::EINVAL, "not a boolean")),
        value => Ok(value != 0),
    }
}

/// `0.1`, `10%`, `1:10`. `what` is for the message. Needs nbdkit 1.36.
pub fn parse_probability(what: &str, value: &str) -> Result<f64> {
    type Parse = unsafe extern "C" fn(*const c_char, *const c_char, *mut f64) -> c_int;
    let parse = unsafe { ffi::newer::<Parse>(b"nbdkit_parse_probability\0") }
        .ok_or_else(|| Error::new(errno::EINVAL, "nbdkit before 1.36 parses no probabilities"))?;
    let mut probability = 0.0;
    match unsafe { parse(text(what)?.as_ptr(), text(value)?.as_ptr(), &mut probability) } {
        -1 => Err(Error::reported(errno::EINVAL, "not a probability")),
        _ => Ok(probability),
    }
}

/// The password that a parameter stands for (nbdkit-plugin(3), "nbdkit_read_password").
pub fn read_password(value: &str) -> Result<Vec<u8>> {
    let value = text(value)?;
    let mut password = ptr::null_mut();
    match unsafe { ffi::nbdkit_read_password(value.as_ptr(), &mut password) } {
        -1 => Err(Error::reported(errno::EINVAL, "no password")),
        _ => unsafe { taken(password) }
            .ok_or_else(|| Error::reported(errno::EINVAL, "no password")),
    }
}

/// The path as it is from `/`: nbdkit changes its directory when it goes into the background. Use
/// it in `config`.
pub fn absolute_path(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = text_of(path.as_ref())?;
    path_of(unsafe { ffi::nbdkit_absolute_path(path.as_ptr()) })
}

/// The same for what exists, with symbolic links followed.
pub fn realpath(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = text_of(path.as_ref())?;
    path_of(unsafe { ffi::nbdkit_realpath(path.as_ptr()) })
}

fn text_of(path: &Path) -> Result<std::ffi::CString> {
    std::ffi::CString::new(OsStr::as_bytes(path.as_os_str()))
        .map_err(|e| Error::new(errno::EINVAL, e))
}

fn path_of(path: *mut c_char) -> Result<PathBuf> {
    unsafe { taken(path) }
        .map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)))
        .ok_or_else(|| Error::reported(errno::EINVAL, "not a path"))
}

/// A string that malloc made, which is freed.
unsafe fn taken(string: *mut c_char) -> Option<Vec<u8>> {
    if string.is_null() {
        return None;
    }
    let bytes = CStr::from_ptr(string).to_bytes().to_vec();
    ffi::free(string.cast());
    Some(bytes)
}

/// Sleeps, unless the server or the connection ends: then end the request with the error. From
/// `after_fork` on.
pub fn nanosleep(duration: Duration) -> Result<()> {
    let seconds = duration
        .as_secs()
        .try_into()
        .map_err(|_| Error::new(errno::EINVAL, "that is too long to sleep"))?;
    match unsafe { ffi::nbdkit_nanosleep(seconds, duration.subsec_nanos()) } {
        -1 => Err(Error::reported(errno::ESHUTDOWN, "woken because of the end")),
        _ => Ok(()),
    }
}

/// An address that a socket can have.
pub trait SockaddrLike: Sized {
    /// From the bytes of a `struct sockaddr`; None: it is of another family.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl SockaddrLike for SocketAddr {
    fn from_bytes(bytes: &[u8]) -> Option<SocketAddr> {
        const AF_INET: u16 = 2;
        const AF_INET6: u16 = 10;
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
        let address: IpAddr = match family {
            AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into(),
            AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    }
}

/// The address of the client, for example as a [`SocketAddr`]. From `preconnect` on.
pub fn peername<T: SockaddrLike>() -> std::result::Result<T, Box<dyn error::Error>> {
    let mut storage = [0u64; 16]; // 128 bytes, aligned: struct sockaddr_storage
    let mut length = 128u32;
    let bytes = storage.as_mut_ptr().cast::<c_void>();
    if unsafe { ffi::nbdkit_peer_name(bytes, &mut length) } == -1 {
        return Err("the client has no address".into());
    }
    let bytes: Vec<u8> = storage.iter().flat_map(|word| word.to_ne_bytes()).collect();
    T::from_bytes(&bytes[..bytes.len().min(length as usize)])
        .ok_or_else(|| "the client's address is of another family".into())
}

fn peer(function: &'static [u8], what: &str) -> Result<i64> {
    let ask: Option<unsafe extern "C" fn() -> i64> = unsafe { ffi::newer(function) };
    match ask.map(|ask| unsafe { ask() }) {
        Some(-1) => Err(Error::reported(errno::EINVAL, what)),
        Some(id) => Ok(id),
        None => Err(Error::new(errno::EINVAL, "nbdkit before 1.24 does not tell who the client is")),
    }
}

/// The client's process; only over a Unix domain socket.
pub fn peer_pid() -> Result<i64> {
    peer(b"nbdkit_peer_pid\0", "the client has no process id")
}

/// The client's user; only over a Unix domain socket.
pub fn peer_uid() -> Result<i64> {
    peer(b"nbdkit_peer_uid\0", "the client has no user id")
}

/// The client's group; only over a Unix domain socket.
pub fn peer_gid() -> Result<i64> {
    peer(b"nbdkit_peer_gid\0", "the client has no group id")
}

#[doc(hidden)]
pub fn debug_message(words: &str) {
    ffi::debug(words);
}

/// A message that `nbdkit -v` shows. Takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($words:tt)*) => {
        $crate::debug_message(&format!($($words)*))
    };
}
