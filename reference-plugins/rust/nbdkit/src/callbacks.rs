//! The functions that nbdkit calls. Each is a C function around a method of [`Server`], and none
//! lets a panic through.

use crate::error::{Error, Result};
use crate::lists::text;
use crate::{errno, ffi, ExportList, ExtentHandle, Flags, Server};
use std::any::Any;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};
use std::{io, mem, ptr, slice};

/// What a connection's handle points to.
struct Handle {
    server: Box<dyn Server>,
    /// Returned descriptions live as long as the connection.
    descriptions: Mutex<HashSet<CString>>,
}

unsafe fn server<'a>(handle: *mut c_void) -> &'a dyn Server {
    &*(*handle.cast::<Handle>()).server
}

/// Runs a callback. Errors and panics become `failure` and a message; also those of `Display` and
/// `Drop` of what the callback returned.
pub(crate) fn guard<T>(name: &str, failure: T, body: impl FnOnce() -> Result<T>) -> T {
    let outcome = catch_unwind(AssertUnwindSafe(|| match body() {
        Ok(value) => Some(value),
        Err(error) => {
            error.report(name == "zero");
            None
        }
    }));
    match outcome {
        Ok(value) => value.unwrap_or(failure),
        Err(payload) => {
            ffi::error(&format!("{} panicked: {}", name, words_of(&*payload)));
            ffi::set_error(errno::EIO);
            // A payload of panic_any() may panic when it is dropped.
            if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(another);
            }
            failure
        }
    }
}

fn words_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(words) = payload.downcast_ref::<&str>() {
        words
    } else if let Some(words) = payload.downcast_ref::<String>() {
        words
    } else {
        "no message"
    }
}

/// The same string each time it is asked for, until the set is dropped.
fn kept(set: &Mutex<HashSet<CString>>, string: CString) -> *const c_char {
    let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
    if !set.contains(&string) {
        set.insert(string.clone());
    }
    set.get(&string).map_or(ptr::null(), |s| s.as_ptr())
}

macro_rules! without_result {
    ($($name:ident)*) => {$(
        pub extern "C" fn $name<S: Server>() {
            guard(stringify!($name), (), || {
                S::$name();
                Ok(())
            })
        }
    )*};
}

macro_rules! about_the_plugin {
    ($($name:ident)*) => {$(
        pub extern "C" fn $name<S: Server>() -> c_int {
            guard(stringify!($name), -1, || S::$name().map(|()| 0))
        }
    )*};
}

macro_rules! about_the_connection {
    ($($name:ident)*) => {$(
        pub unsafe extern "C" fn $name(handle: *mut c_void) -> c_int {
            guard(stringify!($name), -1, || server(handle).$name().map(|answer| answer.into()))
        }
    )*};
}

without_result!(load unload cleanup);
about_the_plugin!(config_complete get_ready after_fork);
about_the_connection!(can_write can_flush is_rotational can_trim can_zero can_fast_zero
                      can_extents can_fua can_multi_conn can_cache);

pub extern "C" fn dump_plugin<S: Server>() {
    guard("dump_plugin", (), || {
        S::dump_plugin();
        Ok(io::stdout().flush()?) // nobody else does at the end of a process that is not Rust's
    })
}

fn utf8<'a>(what: &str, string: &'a CStr) -> Result<&'a str> {
    string.to_str().map_err(|e| Error::new(errno::EINVAL, format!("{}: {}", what, e)))
}

pub unsafe extern "C" fn config<S: Server>(key: *const c_char, value: *const c_char) -> c_int {
    guard("config", -1, || {
        let key = utf8("key of a parameter", CStr::from_ptr(key))?;
        let value = utf8(key, CStr::from_ptr(value))?;
        S::config(key, value).map(|()| 0)
    })
}

pub extern "C" fn thread_model<S: Server>() -> c_int {
    guard("thread_model", -1, || S::thread_model().map(|model| model as c_int))
}

pub extern "C" fn preconnect<S: Server>(readonly: c_int) -> c_int {
    guard("preconnect", -1, || S::preconnect(readonly != 0).map(|()| 0))
}

pub extern "C" fn list_exports<S: Server>(
    readonly: c_int,
    is_tls: c_int,
    exports: *mut c_void,
) -> c_int {
    guard("list_exports", -1, || {
        S::list_exports(readonly != 0, is_tls != 0, &mut ExportList(exports)).map(|()| 0)
    })
}

pub extern "C" fn default_export<S: Server>(readonly: c_int, is_tls: c_int) -> *const c_char {
    static NAMES: Mutex<Option<&'static Mutex<HashSet<CString>>>> = Mutex::new(None);
    guard("default_export", ptr::null(), || {
        let name = match S::default_export(readonly != 0, is_tls != 0)? {
            Some(name) => text(&name)?,
            None => return Ok(ptr::null()),
        };
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept(names.get_or_insert_with(|| Box::leak(Box::default())), name))
    })
}

pub extern "C" fn open<S: Server>(readonly: c_int) -> *mut c_void {
    guard("open", ptr::null_mut(), || {
        let handle = Handle { server: S::open(readonly != 0)?, descriptions: Mutex::default() };
        Ok(Box::into_raw(Box::new(handle)).cast())
    })
}

pub unsafe extern "C" fn close(handle: *mut c_void) {
    guard("close", (), || {
        drop(Box::from_raw(handle.cast::<Handle>()));
        Ok(())
    })
}

pub unsafe extern "C" fn export_description(handle: *mut c_void) -> *const c_char {
    guard("export_description", ptr::null(), || {
        Ok(match server(handle).export_description()? {
            Some(words) => kept(&(*handle.cast::<Handle>()).descriptions, text(&words)?),
            None => ptr::null(),
        })
    })
}

pub unsafe extern "C" fn get_size(handle: *mut c_void) -> i64 {
    guard("get_size", -1, || match server(handle).get_size()? {
        size if size < 0 => {
            Err(Error::new(errno::EIO, format!("get_size: {} is not a size", size)))
        }
        size => Ok(size),
    })
}

pub unsafe extern "C" fn block_size(
    handle: *mut c_void,
    minimum: *mut u32,
    preferred: *mut u32,
    maximum: *mut u32,
) -> c_int {
    guard("block_size", -1, || {
        let size = server(handle).block_size()?;
        *minimum = size.minimum;
        *preferred = size.preferred;
        *maximum = size.maximum;
        Ok(0)
    })
}

pub unsafe extern "C" fn pread(
    handle: *mut c_void,
    buf: *mut c_void,
    count: u32,
    offset: u64,
    _flags: u32,
) -> c_int {
    guard("read_at", -1, || {
        let buf = slice::from_raw_parts_mut(buf.cast(), count as usize);
        server(handle).read_at(buf, offset).map(|()| 0)
    })
}

pub unsafe extern "C" fn pwrite(
    handle: *mut c_void,
    buf: *const c_void,
    count: u32,
    offset: u64,
    flags: u32,
) -> c_int {
    guard("write_at", -1, || {
        let buf = slice::from_raw_parts(buf.cast(), count as usize);
        server(handle).write_at(buf, offset, Flags::from_bits_truncate(flags)).map(|()| 0)
    })
}

pub unsafe extern "C" fn flush(handle: *mut c_void, _flags: u32) -> c_int {
    guard("flush", -1, || server(handle).flush().map(|()| 0))
}

pub unsafe extern "C" fn trim(handle: *mut c_void, count: u32, offset: u64, flags: u32) -> c_int {
    guard("trim", -1, || {
        server(handle).trim(count, offset, Flags::from_bits_truncate(flags)).map(|()| 0)
    })
}

pub unsafe extern "C" fn zero(handle: *mut c_void, count: u32, offset: u64, flags: u32) -> c_int {
    guard("zero", -1, || {
        server(handle).zero(count, offset, Flags::from_bits_truncate(flags)).map(|()| 0)
    })
}

pub unsafe extern "C" fn extents(
    handle: *mut c_void,
    count: u32,
    offset: u64,
    flags: u32,
    list: *mut c_void,
) -> c_int {
    guard("extents", -1, || {
        let flags = Flags::from_bits_truncate(flags);
        server(handle).extents(count, offset, flags, &mut ExtentHandle(list)).map(|()| 0)
    })
}

/// nbdkit-plugin(3) ".cache": with flags that are not known it must fail.
pub unsafe extern "C" fn cache(handle: *mut c_void, count: u32, offset: u64, flags: u32) -> c_int {
    guard("cache", -1, || {
        if flags != 0 {
            return Err(Error::new(errno::EINVAL, format!("cache: unknown flags {:#x}", flags)));
        }
        server(handle).cache(count, offset).map(|()| 0)
    })
}
