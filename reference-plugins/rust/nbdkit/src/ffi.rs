//! The functions of the server. Those newer than nbdkit 1.18 are looked up when they are called,
//! so that a plugin which does without them loads in older ones.

use crate::error::one_line;
use std::os::raw::{c_char, c_int, c_uint, c_void};
use std::{mem, ptr};

extern "C" {
    fn nbdkit_error(fmt: *const c_char, ...);
    fn nbdkit_debug(fmt: *const c_char, ...);
    fn nbdkit_set_error(err: c_int);
    pub fn nbdkit_add_extent(list: *mut c_void, offset: u64, length: u64, kind: u32) -> c_int;
    pub fn nbdkit_export_name() -> *const c_char;
    pub fn nbdkit_stdio_safe() -> c_int;
    pub fn nbdkit_shutdown();
    pub fn nbdkit_parse_size(text: *const c_char) -> i64;
    pub fn nbdkit_parse_bool(text: *const c_char) -> c_int;
    pub fn nbdkit_read_password(value: *const c_char, password: *mut *mut c_char) -> c_int;
    pub fn nbdkit_absolute_path(path: *const c_char) -> *mut c_char;
    pub fn nbdkit_realpath(path: *const c_char) -> *mut c_char;
    pub fn nbdkit_nanosleep(seconds: c_uint, nanoseconds: c_uint) -> c_int;
    pub fn nbdkit_peer_name(address: *mut c_void, length: *mut u32) -> c_int;

    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    pub fn free(memory: *mut c_void);
}

const MESSAGE: *const c_char = b"%s\0".as_ptr().cast();

pub fn error(text: &str) {
    let text = one_line(text);
    unsafe { nbdkit_error(MESSAGE, text.as_ptr()) }
}

pub fn debug(text: &str) {
    let text = one_line(text);
    unsafe { nbdkit_debug(MESSAGE, text.as_ptr()) }
}

pub fn set_error(errno: i32) {
    unsafe { nbdkit_set_error(errno) }
}

/// A function of a newer server; None: this one is older.
///
/// # Safety
///
/// `F` must be the type of the function: a pointer to an `extern "C" fn`.
pub unsafe fn newer<F>(name: &'static [u8]) -> Option<F> {
    assert!(name.ends_with(b"\0") && mem::size_of::<F>() == mem::size_of::<*mut c_void>());
    let found = dlsym(ptr::null_mut(), name.as_ptr().cast()); // NULL: RTLD_DEFAULT
    if found.is_null() {
        None
    } else {
        Some(mem::transmute_copy(&found))
    }
}
